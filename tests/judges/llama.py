"""llama.cpp as a judge, as aprhub itself asks it."""

from aprhub.judges.llama import THREADS, Llama

__all__ = ["THREADS", "Llama"]
