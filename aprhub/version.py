"""The version of the hub; `pyproject.toml` says the same, and a test compares."""

from typing import Final

VERSION: Final = "0.1.0"
