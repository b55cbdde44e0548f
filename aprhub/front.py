"""The front door of the library: functions that take paths and need no set-up.

Each loads the installed plugins unless it is given a registry; nothing is kept between
calls, nothing is printed.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aprhub import conversion
from aprhub.conversion import Announce
from aprhub.detect import identify
from aprhub.errors import about
from aprhub.ir.model import ModelIR
from aprhub.lift import Lifted, LiftOptions, lifted
from aprhub.options import ConvertOptions, VerifyOptions
from aprhub.registry import Registry
from aprhub.report import Report
from aprhub.unpacking import prepared

if TYPE_CHECKING:
    from aprhub.adapters.operations import AdapterMerge
    from aprhub.adapters.reports import MergeReport
    from aprhub.difference import Difference
    from aprhub.fidelity import Fidelity
    from aprhub.merging.recipe import Recipe
    from aprhub.scoring import Quality
    from aprhub.stamping.options import StampOptions
    from aprhub.stamping.report import StampReport
    from aprhub.verification.verdict import Verification

PathLike = str | os.PathLike[str]


def convert(
    source: PathLike,
    target: PathLike,
    options: ConvertOptions | None = None,
    *,
    registry: Registry | None = None,
    announce: Announce | None = None,
) -> Report:
    """Convert one model file or folder into another and return what was done.

    `announce` is called with the number of bytes to write, and returns a function
    that is called, from any thread, with the bytes of each part written. Raises an
    AprhubError; then nothing stands under the target's name that was not there.
    """
    return conversion.convert(
        Path(source),
        Path(target),
        options or ConvertOptions(),
        registry or Registry.load(),
        announce,
    )


def open_model(
    path: PathLike,
    *,
    naming: str | None = None,
    family: str | None = None,
    registry: Registry | None = None,
) -> ModelIR:
    """Open a model in any format and return it in canonical form, checked.

    Tensors are lazy: `model.tensors[name].numpy()` reads the values of one. Raises an
    AprhubError when the file is unsound or its family unknown.
    """
    options = LiftOptions(naming, family)
    return conversion.open_model(Path(path), registry or Registry.load(), options)


def save_model(
    model: ModelIR,
    target: PathLike,
    options: ConvertOptions | None = None,
    *,
    registry: Registry | None = None,
    announce: Announce | None = None,
) -> Report:
    """Write a canonical model in the format that the target's name, or options, say.

    The model is checked, the output judged and put in place whole, as by `convert`.
    """
    return conversion.save_model(
        model,
        Path(target),
        options or ConvertOptions(),
        registry or Registry.load(),
        announce,
    )


def merge(
    recipe: "Recipe | PathLike",
    target: PathLike,
    options: ConvertOptions | None = None,
    *,
    registry: Registry | None = None,
    announce: Announce | None = None,
) -> Report:
    """Merge the models of a recipe, or of a YAML file with one, into one model.

    The result is checked, judged and put in place whole, as by `convert`.
    """
    from aprhub.merging.operation import merge as run
    from aprhub.merging.reading import read_recipe
    from aprhub.merging.recipe import Recipe

    wanted = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
    return run(
        wanted,
        Path(target),
        options or ConvertOptions(),
        registry or Registry.load(),
        announce,
    )


def stamp(
    path: PathLike,
    options: "StampOptions",
    target: PathLike | None = None,
    *,
    registry: Registry | None = None,
) -> "StampReport":
    """Say anew what a model says of itself; without a target, in its own place.

    No byte of a tensor changes. Raises an AprhubError; then nothing was written.
    """
    from aprhub.stamping.operation import stamp as run

    place = None if target is None else Path(target)
    return run(Path(path), place, options, registry or Registry.load())


def quality(
    path: PathLike,
    *,
    source_format: str | None = None,
    registry: Registry | None = None,
) -> "Quality":
    """Return how fit a model is to be published, from 0 to 100, and what it lacks."""
    from aprhub.scoring import assessed

    return assessed(Path(path), registry or Registry.load(), source_format)


def diff(
    one: PathLike,
    other: PathLike,
    *,
    naming: str | None = None,
    family: str | None = None,
    registry: Registry | None = None,
) -> "Difference":
    """Compare two models of any formats through their canonical form.

    `naming` and `family` are those of both; a naming of `keep` compares the names as
    they are stored.
    """
    from aprhub.difference import difference

    options = LiftOptions(naming, family)
    left, right = _both_lifted(one, other, options, registry)
    return difference(left.model, right.model, (left.sources, right.sources))


def measure(
    one: PathLike,
    other: PathLike,
    *,
    naming: str | None = None,
    family: str | None = None,
    registry: Registry | None = None,
) -> "Fidelity":
    """Measure how close the tensors of `other` come to those of `one`.

    The arguments are those of `diff`. Raises ModelCheckError where the models do not
    have the same tensors.
    """
    from aprhub.fidelity import fidelity

    options = LiftOptions(naming, family)
    left, right = _both_lifted(one, other, options, registry)
    with about(Path(other)):
        return fidelity(left.model, right.model)


def _both_lifted(
    one: PathLike, other: PathLike, options: LiftOptions, registry: Registry | None
) -> tuple[Lifted, Lifted]:
    loaded = registry or Registry.load()
    left, right = (_lifted(Path(path), loaded, options) for path in (one, other))
    return left, right


def verify(
    source: PathLike,
    target: PathLike,
    options: VerifyOptions | None = None,
    *,
    registry: Registry | None = None,
) -> "Verification":
    """Judge whether `target`, of any format, is a faithful conversion of `source`.

    Raises an AprhubError where one of both cannot be read, or a program that is asked
    is not there; what is wrong with the target is found instead.
    """
    from aprhub.verification.operation import verify_files

    loaded = registry or Registry.load()
    return verify_files(Path(source), Path(target), options or VerifyOptions(), loaded)


def merge_adapters(
    request: "AdapterMerge",
    target: PathLike,
    options: ConvertOptions | None = None,
    *,
    registry: Registry | None = None,
    announce: Announce | None = None,
) -> "MergeReport":
    """Merge adapters of any layouts into a model of any format, and write it.

    What no adapter changes keeps its bytes and its encoding. Raises an AprhubError
    where a tensor of an adapter has no place in the base, where nothing would change,
    and for whatever `convert` refuses to write.
    """
    from aprhub.adapters.operations import merged

    chosen, loaded = options or ConvertOptions(), registry or Registry.load()
    return merged(request, Path(target), chosen, loaded, announce)


def _lifted(path: Path, registry: Registry, options: LiftOptions) -> Lifted:
    stored = identify(path, registry).opened(path)
    return lifted(prepared(stored, registry, options.naming), registry, options)
