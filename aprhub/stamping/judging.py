"""Whether a stamp leaves a model as sound as it was."""

from attrs import evolve, field, frozen

from aprhub import licenses
from aprhub.check import faults
from aprhub.errors import AprhubError, Fault, IdentityError, UnrunnableError
from aprhub.lift import LiftOptions, lifted
from aprhub.registry import Registry
from aprhub.spec.format import Format, StoredModel
from aprhub.stamping.options import LICENSES
from aprhub.unpacking import unpacked


@frozen
class Verdict:
    """What a stored model is taken for, and what is wrong with it.

    `rows` is how many the embedding has, None where the model has no family; then
    `problem` says why.
    """

    stored: StoredModel
    faults: tuple[Fault, ...] = ()
    rows: int | None = None
    problem: AprhubError | None = field(default=None, eq=False)


def judged(stored: StoredModel, fmt: Format, registry: Registry) -> Verdict:
    """Lift a model and return what its family and its format's programs say of it."""
    try:
        whole = unpacked(evolve(stored, namings=fmt.namings), registry, None)
        found = lifted(whole, registry, LiftOptions())
    except AprhubError as error:
        return Verdict(stored, problem=error)
    if found.family is None:
        return Verdict(stored)
    model = found.model
    own = fmt.runnable(evolve(stored, family=found.family))
    wrong = (*faults(model, found.family), *own)
    return Verdict(stored, wrong, model.config.vocab_size)


def require_no_worse(before: Verdict, after: Verdict, registry: Registry) -> list[str]:
    """Return what was wrong and still is, or shows only now.

    Raises UnrunnableError where a stamp contradicts the tensors, or makes a model
    that ran one that does not.
    """
    path = after.stored.path
    if after.problem is not None:
        if before.problem is None or _is_contrary(before, after, registry):
            raise UnrunnableError(
                path,
                "the stamp contradicts the model, so nothing was written; leave out"
                f" what does: {after.problem}",
            )
        return [f"not checked against a family: {_first_line(after.problem)}"]
    known = set(map(str, before.faults))
    new = [each for each in after.faults if str(each) not in known]
    if new and before.problem is None:
        what = "the stamp would spoil the model; nothing was written"
        raise UnrunnableError(path, what, new)
    return [f"would not run: {each}" for each in after.faults]


def same_but_origin(before: StoredModel, after: StoredModel) -> bool:
    """Return whether a model says the same of everything but where it comes from."""
    names = ("config", "tokenizer", "sampling", "carried", "native", "naming")
    return all(getattr(before, name) == getattr(after, name) for name in names)


def require_licenses(before: StoredModel, after: StoredModel) -> None:
    """Refuse a licence that came in under the format's own key and is none."""
    for name in LICENSES:
        said = getattr(after.provenance, name)
        if said is not None and said != getattr(before.provenance, name):
            licenses.checked(said)


def _is_contrary(before: Verdict, after: Verdict, registry: Registry) -> bool:
    """Return whether a new claim, of families that are known, is refused."""
    claims = after.stored.config.identity.claims
    if claims == before.stored.config.identity.claims:
        return False
    known = {claim for each in registry.families for claim in each.value.claims}
    return isinstance(after.problem, IdentityError) and {*claims} <= known


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
