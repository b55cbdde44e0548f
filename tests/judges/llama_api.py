"""llama.cpp's C interface, as aprhub itself calls it."""

from aprhub.judges.llama_api import RELEASE, GgufParams, library

__all__ = ["RELEASE", "GgufParams", "library"]
