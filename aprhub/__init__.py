"""Converts language-model files through one canonical model.

    import aprhub

    report = aprhub.convert("model.apr", "model.gguf")
    model = aprhub.open_model("model.gguf")
    values = model.tensors["layers.0.attn.q.weight"].numpy()
    aprhub.save_model(model, "folder")

Names are loaded when they are first used, so that `aprhub --help` imports little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from aprhub.version import VERSION

if TYPE_CHECKING:
    from aprhub.conversion import ConvertOptions
    from aprhub.errors import AprhubError
    from aprhub.front import convert, diff, open_model, save_model
    from aprhub.ir.model import ModelIR
    from aprhub.ir.tensor import Tensor
    from aprhub.registry import Registry
    from aprhub.report import Report

_HOMES: Final = {
    "AprhubError": "aprhub.errors",
    "ConvertOptions": "aprhub.conversion",
    "ModelIR": "aprhub.ir.model",
    "Registry": "aprhub.registry",
    "Report": "aprhub.report",
    "Tensor": "aprhub.ir.tensor",
    "convert": "aprhub.front",
    "diff": "aprhub.front",
    "open_model": "aprhub.front",
    "save_model": "aprhub.front",
}

__version__: Final = VERSION

__all__ = [
    "AprhubError",
    "ConvertOptions",
    "ModelIR",
    "Registry",
    "Report",
    "Tensor",
    "__version__",
    "convert",
    "diff",
    "open_model",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'aprhub' has no attribute {name!r}")
    return getattr(import_module(home), name)
