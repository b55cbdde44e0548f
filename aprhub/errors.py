"""Everything that aprhub raises on purpose, as one family.

    AprhubError                     exit code 3
    ├── InputError                  a file is not what it should be
    │   ├── UnknownFormatError      no plugin recognises it
    │   ├── AmbiguousFormatError    several plugins recognise it equally well
    │   ├── CorruptFileError        its bytes contradict its format
    │   ├── UnsupportedFileError    valid, but of a kind that is not read
    │   └── MissingFileError        not there, or not a readable file
    ├── ModelError                  exit code 1: a check said no
    │   ├── IdentityError           the architecture is unknown or contradicted
    │   ├── ModelCheckError         tensors and configuration do not fit together
    │   ├── UnrunnableError         the written model would not run
    │   └── UnrepresentableError    the target format cannot hold it
    ├── JudgeError                  exit code 1: another program refuses the model
    ├── UsageError                  exit code 2: a request that makes no sense
    │   └── TargetExistsError       there is a file already
    ├── CorpusExhausted             data was seen as often as it may be
    ├── EnvironmentFailureError     the disk, the permissions, the machine
    └── PluginError                 a plugin is broken, missing or contested
        ├── UnknownNameError        nobody provides that name
        └── ContestedNameError      several plugins provide that name

A message has four parts: which file and where in it, what was found, what was expected,
what to do.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from os import PathLike
from typing import ClassVar, Final

from attrs import evolve, frozen

Location = str | PathLike[str]

_SHOWN: Final = 24
"""How many faults a message lists."""


class AprhubError(Exception):
    """Anything that aprhub refuses, with the sentence that says why."""

    exit_code: ClassVar[int] = 3


@contextmanager
def about(path: Location) -> Iterator[None]:
    """Make every error from within say which file the work was about.

    A request that makes no sense is not about a file.
    """
    try:
        yield
    except AprhubError as error:
        if not isinstance(error, UsageError) and str(path) not in str(error):
            error.add_note(f"while working on {path}")
        raise


class InputError(AprhubError):
    """An input file is not what it should be."""

    def __init__(self, path: Location, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class UnknownFormatError(InputError):
    """No format recognises the file."""


class AmbiguousFormatError(InputError):
    """Several formats recognise the file equally well."""


class MissingFileError(InputError):
    """The file is not there, or is not something that can be read."""


class UnsupportedFileError(InputError):
    """The file is sound, but of a kind or version that is not read."""


class CorruptFileError(InputError):
    """The bytes of a file contradict its format.

    `offset` is the byte at which the contradiction shows, or None where it has no
    single place; `where` names the field. What to do is the same for most damage.
    """

    def __init__(
        self,
        path: Location,
        what: str,
        *,
        where: str = "",
        offset: int | None = None,
        repair: str = "get the file again, or write it anew with what made it",
    ) -> None:
        place = " ".join(
            part
            for part in (where, "" if offset is None else f"at byte {offset}")
            if part
        )
        told = f"{what}; {repair}"
        super().__init__(path, f"{place}: {told}" if place else told)
        self.where = where
        self.offset = offset
        self.repair = repair


@frozen
class Fault:
    """One thing that is wrong with a model: what it is about, what, and the repair."""

    subject: str
    problem: str
    repair: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        tail = f" ({self.repair})" if self.repair else ""
        return f"{self.subject}: {self.problem}{tail}"


class ModelError(AprhubError):
    """A check of the model said no; the message has the first of many `faults`.

    A repair that all of them share is told once, after them.
    """

    exit_code = 1

    def __init__(self, path: Location, what: str, faults: Sequence[Fault] = ()) -> None:
        repairs = {fault.repair for fault in faults}
        shared = repairs.pop() if len(faults) > 1 and len(repairs) == 1 else ""
        told = [evolve(each, repair="") if shared else each for each in faults[:_SHOWN]]
        lines = [f"{path}: {what}", *(f"  - {fault}" for fault in told)]
        if len(faults) > _SHOWN:
            lines.append(f"  … and {len(faults) - _SHOWN} more like these")
        super().__init__("\n".join([*lines, *([f"  {shared}"] if shared else ())]))
        self.path = path
        self.faults = tuple(faults)


class IdentityError(ModelError):
    """The architecture is unknown, or what the file claims and holds disagree."""


class ModelCheckError(ModelError):
    """Tensors, configuration and tokenizer do not fit together."""


class UnrunnableError(ModelError):
    """What was about to be written would not run in the target's own programs."""


class UnrepresentableError(ModelError):
    """The target format cannot hold something that the model has."""


class JudgeError(AprhubError):
    """A program that is asked for its judgement refuses; the message has its words."""

    exit_code = 1


class UsageError(AprhubError):
    """The request makes no sense, whatever the files hold."""

    exit_code = 2


class TargetExistsError(UsageError):
    """Something stands where the output should go."""

    def __init__(self, path: Location) -> None:
        super().__init__(f"{path}: exists already; use --force to replace it")
        self.path = path


class CorpusExhausted(AprhubError):  # noqa: N818  # an end, as StopIteration is
    """All training data has been seen as often as it may be."""


class EnvironmentFailureError(AprhubError):
    """The machine did not do its part: disk full, permission denied, interrupted."""


class PluginError(AprhubError):
    """A plugin is broken, or its answer cannot be used."""


class ContestedNameError(PluginError):
    """Several plugins provide one name."""

    def __init__(self, kind: str, name: str, plugins: Sequence[str]) -> None:
        listed = " and ".join(plugins)
        super().__init__(
            f"{kind} {name!r} is provided by {listed}; say which one as "
            f"'DISTRIBUTION:{name}', or set APRHUB_DISABLE to a distribution's name"
        )


class UnknownNameError(PluginError):
    """Nobody provides a name; near misses are suggested."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        repair = f"give one of {', '.join(names[:_SHOWN])}{more}"
        if not names:
            repair = f"install a plugin that provides a {kind}; there is none"
        super().__init__(
            f"no {kind} is called {name!r}{near_miss(name, names)} ({repair})"
        )


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return a question after the known name that was probably meant, or nothing."""
    names = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), list(names), n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
