"""The naming conventions of Hugging Face, ggml and APR, one table each."""

from collections.abc import Iterable

from aprhub.api import Naming, hookimpl
from aprhub_names.apr import APR
from aprhub_names.ggml import GGML
from aprhub_names.hf import HF


@hookimpl
def provide_namings() -> Iterable[Naming]:
    """Return the conventions."""
    return (APR, GGML, HF)
