"""Gate: what was written is opened again and judged before it is put in place."""

from pathlib import Path

from attrs import evolve

from aprhub.errors import AprhubError, Fault, UnrunnableError
from aprhub.spec.format import Format, StoredModel


def reopened(
    path: Path, fmt: Format, meant: StoredModel, repair: str | None = None
) -> StoredModel:
    """Open a written file with its format's reader and compare it with what was meant.

    Raises UnrunnableError when the reader refuses it or finds anything else; `repair`
    is what to do where that need not be the format's fault.
    """
    if fmt.open is None:
        return meant
    repair = repair or f"report it to the author of the format {fmt.name}"
    try:
        found = fmt.open(path)
    except AprhubError as error:
        fault = Fault("the written file", f"cannot be opened again: {error}", repair)
        raise UnrunnableError(meant.path, "not written", [fault]) from error
    faults = _tensor_faults(found, meant, repair) + _config_faults(found, meant, repair)
    if faults:
        what = "the written file is not what was meant"
        raise UnrunnableError(meant.path, what, faults)
    return evolve(found, path=meant.path, family=meant.family)


def _tensor_faults(found: StoredModel, meant: StoredModel, repair: str) -> list[Fault]:
    faults = []
    for name in sorted(found.tensors.keys() ^ meant.tensors.keys()):
        problem = "not written" if name in meant.tensors else "written, but not meant"
        faults.append(Fault(name, problem, repair))
    for name in sorted(found.tensors.keys() & meant.tensors.keys()):
        one, other = found.tensors[name], meant.tensors[name]
        if (one.shape, one.encoding) != (other.shape, other.encoding):
            problem = (
                f"is {one.encoding.name} {one.shape}, meant"
                f" {other.encoding.name} {other.shape}"
            )
            faults.append(Fault(name, problem, repair))
    return faults


def _config_faults(found: StoredModel, meant: StoredModel, repair: str) -> list[Fault]:
    """Compare the sizes; what a format does not store comes back as None."""
    names = ("hidden_size", "num_layers", "num_heads", "vocab_size")
    faults = []
    for name in names:
        one, other = getattr(found.config, name), getattr(meant.config, name)
        if one is not None and other is not None and one != other:
            problem = f"reads back as {one}, meant {other}"
            faults.append(Fault(name, problem, repair))
    return faults
