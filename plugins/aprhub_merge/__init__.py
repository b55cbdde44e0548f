"""The merge methods that people use, with the names and parameters of mergekit.

Those whose names end in `:apr` compute what aprender's `apr merge` computes under the
name before it. The modules with the arithmetic are imported when a tensor is merged.
"""

from collections.abc import Callable, Iterable
from importlib import import_module

from aprhub.api import Blend, Group, MergeMethod, Parameter, hookimpl

_T = Parameter("t", low=0, high=1)
_WEIGHT = Parameter("weight", per_model=True)
_EQUAL = Parameter("weight", 1.0, low=0, per_model=True)
_DENSITY = Parameter("density", 1.0, low=0, high=1, per_model=True)
_GAMMA = Parameter("gamma", 0.01, low=0, high=1, per_model=True)
_EPSILON = Parameter("epsilon", 0.15, low=0, high=1, per_model=True)
_RATE = Parameter("drop_rate", 0.9, low=0, high=1)
_SHARE = Parameter("weight", per_model=True, optional=True)
_SCALE = Parameter("scale", 1.0, per_model=True)
# It saves memory in mergekit, and changes no value.
_INT8_MASK = Parameter("int8_mask", False, kind=bool)


def _flag(name: str, default: bool) -> Parameter:
    return Parameter(name, default, kind=bool)


def _in(module: str, name: str) -> Callable[[Group], Blend]:
    """Return a function of a module that is imported when it is called."""

    def prepare(group: Group) -> Blend:
        found: Callable[[Group], Blend]
        found = getattr(import_module(f"{__name__}.{module}"), name)
        return found(group)

    return prepare


def _arithmetic(
    name: str,
    title: str,
    reference: str,
    *more: Parameter,
    normalize: bool = False,
    rescale: bool = False,
) -> MergeMethod:
    """Return one of the methods that add up deltas."""
    parameters = (
        _WEIGHT,
        _DENSITY,
        *more,
        Parameter("lambda", 1.0),
        _flag("normalize", normalize),
        _flag("rescale", rescale),
        _INT8_MASK,
    )
    random = name.startswith(("dare", "della"))
    return MergeMethod(
        name,
        title,
        _in("arithmetic", name),
        parameters,
        base="required",
        evaluation="tensor",
        symmetric=not random,
        reference=reference,
    )


_TIES = "arxiv.org/abs/2306.01708"
_DARE = "arxiv.org/abs/2311.03099"
_DELLA = "arxiv.org/abs/2406.11617"
_BREADCRUMBS = "arxiv.org/abs/2312.06795"

_ARITHMETIC = (
    _arithmetic("task_arithmetic", "Task Arithmetic", "arxiv.org/abs/2212.04089"),
    _arithmetic("ties", "TIES", _TIES, normalize=True),
    _arithmetic("dare_linear", "Linear DARE", _DARE, rescale=True),
    _arithmetic("dare_ties", "DARE TIES", _DARE, rescale=True),
    _arithmetic("della", "DELLA", _DELLA, _EPSILON, normalize=True, rescale=True),
    _arithmetic("della_linear", "Linear DELLA", _DELLA, _EPSILON, rescale=True),
    _arithmetic("breadcrumbs", "Model Breadcrumbs", _BREADCRUMBS, _GAMMA),
    _arithmetic("breadcrumbs_ties", "Breadcrumbs with TIES", _BREADCRUMBS, _GAMMA),
)

_GEOMETRY = (
    MergeMethod(
        "slerp",
        "SLERP",
        _in("geometry", "slerp"),
        (_T,),
        base="first",
        models=(1, 1),
        evaluation="tensor",
        symmetric=False,
        reference="Shoemake 1985",
    ),
    MergeMethod(
        "nuslerp",
        "NuSLERP",
        _in("geometry", "nuslerp"),
        (_WEIGHT, _flag("nuslerp_flatten", True), _flag("nuslerp_row_wise", False)),
        base="optional",
        models=(2, 2),
        evaluation="tensor",
        reference="mergekit",
    ),
    MergeMethod(
        "multislerp",
        "Multi-SLERP",
        _in("geometry", "multislerp"),
        (_WEIGHT, _flag("normalize_weights", True), Parameter("eps", 1e-8, low=0)),
        base="optional",
        evaluation="tensor",
        reference="goddard.blog/posts/multislerp-wow-what-a-cool-idea",
    ),
    MergeMethod(
        "karcher",
        "Karcher Mean",
        _in("geometry", "karcher"),
        (
            Parameter("max_iter", 10, low=0, kind=int),
            Parameter("tol", 1e-5, low=0),
        ),
        evaluation="tensor",
        reference="arxiv.org/abs/2603.04972",
    ),
    MergeMethod(
        "model_stock",
        "Model Stock",
        _in("geometry", "model_stock"),
        (_flag("filter_wise", False),),
        base="required",
        models=(2, None),
        evaluation="tensor",
        reference="arxiv.org/abs/2403.19522",
    ),
)

_ELEMENTWISE = (
    MergeMethod(
        "linear",
        "Linear",
        _in("sums", "linear"),
        (_WEIGHT, _flag("normalize", True)),
        reference="arxiv.org/abs/2203.05482",
    ),
    MergeMethod(
        "passthrough",
        "Passthrough",
        _in("sums", "passthrough"),
        (_SCALE,),
        models=(1, 1),
        keeps=lambda settings: bool(settings.each("scale")[0] == 1),
        reference="mergekit",
    ),
    MergeMethod(
        "nearswap",
        "NearSwap",
        _in("selection", "nearswap"),
        (Parameter("t", low=0),),
        base="required",
        models=(1, 1),
        symmetric=False,
        reference="huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
    ),
)

_SELECTION = (
    MergeMethod(
        "sce",
        "SCE",
        _in("selection", "sce"),
        (Parameter("select_topk", 1.0, low=0, high=1), _INT8_MASK),
        base="required",
        evaluation="tensor",
        reference="arxiv.org/abs/2408.07990",
    ),
    MergeMethod(
        "arcee_fusion",
        "Arcee Fusion",
        _in("selection", "arcee_fusion"),
        base="required",
        models=(1, 1),
        evaluation="tensor",
        symmetric=False,
        reference="arcee.ai",
    ),
)


def _arc(name: str, function: str) -> MergeMethod:
    """Return a method of aprender's that goes from the first model to the second."""
    return MergeMethod(
        f"{name}:apr",
        f"{name} of aprender",
        _in("geometry", function),
        (Parameter("t", 0.5, low=0, high=1),),
        base="first",
        models=(1, 1),
        evaluation="tensor",
        symmetric=False,
        reference="aprender",
    )


def _of_aprender(
    name: str,
    function: tuple[str, str],
    *parameters: Parameter,
    base: bool = True,
    symmetric: bool = True,
) -> MergeMethod:
    elements = name in ("average", "weighted", "dare", "task-arithmetic")
    return MergeMethod(
        f"{name}:apr",
        f"{name} of aprender",
        _in(*function),
        parameters,
        base="required" if base else "none",
        evaluation="elements" if elements else "tensor",
        symmetric=symmetric,
        reference="aprender",
    )


_APRENDER = (
    _of_aprender("average", ("sums", "average"), base=False),
    _of_aprender(
        "weighted",
        ("sums", "weighted"),
        Parameter("weight", low=0, per_model=True),
        base=False,
    ),
    _arc("slerp", "slerp_apr"),
    _arc("nuslerp", "nuslerp_apr"),
    _of_aprender(
        "multi-slerp",
        ("geometry", "multislerp_apr"),
        _EQUAL,
        base=False,
        symmetric=False,
    ),
    _of_aprender(
        "ties", ("reference", "ties"), Parameter("density", 0.2, low=0, high=1)
    ),
    _of_aprender("dare", ("reference", "dare"), _RATE, _SHARE, symmetric=False),
    _of_aprender("task-arithmetic", ("reference", "task_arithmetic"), _SCALE),
    _of_aprender("della", ("reference", "della"), _RATE, _SHARE, symmetric=False),
    _of_aprender(
        "breadcrumbs", ("reference", "breadcrumbs"), Parameter("k", 3.0, low=0), _SCALE
    ),
    _of_aprender("sce", ("sums", "energetic"), _EQUAL, base=False),
)


@hookimpl
def provide_merge_methods() -> Iterable[MergeMethod]:
    """Return all methods."""
    return (*_ELEMENTWISE, *_GEOMETRY, *_ARITHMETIC, *_SELECTION, *_APRENDER)
