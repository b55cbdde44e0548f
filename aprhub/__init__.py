"""Converts language-model files through one canonical model.

    import aprhub

    report = aprhub.convert("model.apr", "model.gguf")
    model = aprhub.open_model("model.gguf")
    values = model.tensors["layers.0.attn.q.weight"].numpy()
    aprhub.save_model(model, "folder")

Names are loaded when they are first used, so that `aprhub --help` imports little.
"""

from typing import TYPE_CHECKING, Final

from aprhub.deferred import deferred
from aprhub.version import VERSION

if TYPE_CHECKING:
    from aprhub.adapters.operations import AdapterMerge
    from aprhub.errors import AprhubError
    from aprhub.front import (
        convert,
        diff,
        divergence,
        imatrix,
        measure,
        merge,
        merge_adapters,
        open_model,
        save_model,
        verify,
    )
    from aprhub.ir.model import ModelIR
    from aprhub.ir.tensor import Tensor
    from aprhub.options import ConvertOptions, RunOptions, VerifyOptions
    from aprhub.registry import Registry
    from aprhub.report import Report

_HOMES: Final = {
    "AdapterMerge": "aprhub.adapters.operations",
    "AprhubError": "aprhub.errors",
    "ConvertOptions": "aprhub.options",
    "ModelIR": "aprhub.ir.model",
    "Registry": "aprhub.registry",
    "Report": "aprhub.report",
    "RunOptions": "aprhub.options",
    "Tensor": "aprhub.ir.tensor",
    "VerifyOptions": "aprhub.options",
    "convert": "aprhub.front",
    "diff": "aprhub.front",
    "measure": "aprhub.front",
    "divergence": "aprhub.front",
    "imatrix": "aprhub.front",
    "merge_adapters": "aprhub.front",
    "merge": "aprhub.front",
    "open_model": "aprhub.front",
    "save_model": "aprhub.front",
    "verify": "aprhub.front",
}

__version__: Final = VERSION

__all__ = [
    "AdapterMerge",
    "AprhubError",
    "ConvertOptions",
    "ModelIR",
    "Registry",
    "Report",
    "RunOptions",
    "Tensor",
    "VerifyOptions",
    "__version__",
    "convert",
    "diff",
    "divergence",
    "imatrix",
    "measure",
    "merge",
    "merge_adapters",
    "open_model",
    "save_model",
    "verify",
]

__getattr__ = deferred(__name__, _HOMES)
