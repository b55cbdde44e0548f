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
    from aprhub.course import Course
    from aprhub.errors import AprhubError
    from aprhub.finetuning.options import FinetuneOptions
    from aprhub.front import (
        convert,
        diff,
        measure,
        merge,
        merge_adapters,
        open_model,
        quality,
        save_model,
        stamp,
        verify,
    )
    from aprhub.ir.model import ModelIR
    from aprhub.ir.tensor import Tensor
    from aprhub.low_rank import LowRankOptions
    from aprhub.options import ConvertOptions, RunOptions, VerifyOptions
    from aprhub.pretraining.options import PretrainOptions
    from aprhub.registry import Registry
    from aprhub.report import Report
    from aprhub.runs import (
        divergence,
        evaluate,
        finetune,
        generate,
        imatrix,
        pretrain,
    )
    from aprhub.sampling import Sampling
    from aprhub.stamping.options import StampOptions

_HOMES: Final = {
    "AdapterMerge": "aprhub.adapters.operations",
    "AprhubError": "aprhub.errors",
    "ConvertOptions": "aprhub.options",
    "Course": "aprhub.course",
    "FinetuneOptions": "aprhub.finetuning.options",
    "LowRankOptions": "aprhub.low_rank",
    "ModelIR": "aprhub.ir.model",
    "PretrainOptions": "aprhub.pretraining.options",
    "Registry": "aprhub.registry",
    "Report": "aprhub.report",
    "RunOptions": "aprhub.options",
    "Sampling": "aprhub.sampling",
    "StampOptions": "aprhub.stamping.options",
    "Tensor": "aprhub.ir.tensor",
    "VerifyOptions": "aprhub.options",
    "verify": "aprhub.front",
    "convert": "aprhub.front",
    "diff": "aprhub.front",
    "measure": "aprhub.front",
    "divergence": "aprhub.runs",
    "evaluate": "aprhub.runs",
    "finetune": "aprhub.runs",
    "generate": "aprhub.runs",
    "imatrix": "aprhub.runs",
    "merge_adapters": "aprhub.front",
    "merge": "aprhub.front",
    "open_model": "aprhub.front",
    "pretrain": "aprhub.runs",
    "quality": "aprhub.front",
    "save_model": "aprhub.front",
    "stamp": "aprhub.front",
}

__version__: Final = VERSION

__all__ = [
    "AdapterMerge",
    "AprhubError",
    "ConvertOptions",
    "Course",
    "FinetuneOptions",
    "LowRankOptions",
    "ModelIR",
    "PretrainOptions",
    "Registry",
    "Report",
    "RunOptions",
    "Sampling",
    "StampOptions",
    "Tensor",
    "VerifyOptions",
    "__version__",
    "convert",
    "diff",
    "divergence",
    "evaluate",
    "finetune",
    "generate",
    "imatrix",
    "measure",
    "merge",
    "merge_adapters",
    "open_model",
    "pretrain",
    "quality",
    "save_model",
    "stamp",
    "verify",
]

__getattr__ = deferred(__name__, _HOMES)
