"""The pre-tokenizer of a byte-level tokenizer: its name, and its steps for a name."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from aprhub.errors import Fault, UnrepresentableError, near_miss
from aprhub.tokenizer.document import FILE, KEPT, Document
from aprhub.tokenizer.reach import merges_make_every_token
from aprhub.tokenizer.regexes import normalised
from aprhub.tokenizer.splits import (
    DIGIT,
    DIGITS,
    GPT2,
    PUNCTUATION,
    SPLITS,
    Split,
)

Step = Mapping[str, Any]


def split_of(document: Document, clean_up: bool | None) -> Split:
    """Return the way in which a byte-level tokenizer splits text.

    It has the same expressions, and the same `ignore_merges` unless that is moot.
    Among several, one that tidies spaces and composes characters alike is preferred:
    neither changes the ids. Raises UnrepresentableError that says what has no match.
    """
    stages = _stages(document)
    ignored = bool(document.model.get("ignore_merges"))
    alike = [split for split in SPLITS if split.stages == stages]
    if not alike:
        raise _unknown(
            "pre_tokenizer", f"nobody splits text by {' then '.join(stages)}"
        )
    fitting = [split for split in alike if split.ignore_merges == ignored]
    if not fitting and merges_make_every_token(document):
        fitting = alike
    if not fitting:
        names = ", ".join(split.names[0] for split in alike)
        raise _unknown(
            "model.ignore_merges",
            f"it is {ignored}, but not for {names}, which split text alike",
        )
    nfc = any(step["type"] == "NFC" for step in document.steps("normalizer"))
    return max(fitting, key=lambda each: (each.clean_up is clean_up, each.nfc is nfc))


def split_named(name: str | None) -> Split:
    """Return what a name stands for; None is ggml's default.

    Raises UnrepresentableError for a name that is not in the table.
    """
    found = _by_name().get(name or "default")
    if found is None:
        known = ", ".join(sorted(_by_name()))
        near = near_miss(name or "", _by_name())
        raise UnrepresentableError(
            "tokenizer",
            f"no tokenizer.json can be built: no pre-tokenizer is called {name!r:.80}"
            f" (known: {known}); take the folder that the model comes from, which has"
            f" one{near}",
        )
    return found


def same_split(one: str | None, other: str | None) -> bool:
    """Return whether two names are known to split text alike; None as above."""
    first, second = (_by_name().get(name or "default") for name in (one, other))
    if first is None or second is None:
        return False
    return (first.stages, first.nfc) == (second.stages, second.nfc)


def pre_tokenizer(split: Split) -> Step:
    """Return the `pre_tokenizer` of a `tokenizer.json` for a way of splitting."""
    steps = [_STEPS.get(stage) or _split_step(stage) for stage in split.stages]
    if GPT2 not in split.stages:
        steps.append(_byte_level(use_regex=False))
    if len(steps) == 1:
        return steps[0]
    return {"type": "Sequence", "pretokenizers": steps}


@cache
def _by_name() -> dict[str, Split]:
    return {name: split for split in SPLITS for name in split.names}


def _byte_level(*, use_regex: bool) -> Step:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


_STEPS: Final[Mapping[str, Step]] = {
    GPT2: _byte_level(use_regex=True),
    DIGIT: {"type": "Digits", "individual_digits": True},
    DIGITS: {"type": "Digits", "individual_digits": False},
    PUNCTUATION: {"type": "Punctuation", "behavior": "Contiguous"},
}


def _split_step(expression: str) -> Step:
    return {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }


def _stages(document: Document) -> tuple[str, ...]:
    found: list[str] = []
    for step in document.steps("pre_tokenizer"):
        read = _READERS.get(step["type"])
        stage = read(step) if read else None
        if stage is None:
            raise _unknown("pre_tokenizer", f"nobody has the step {dict(step)!r:.200}")
        found += [stage] if stage else []
    return tuple(found)


def _read_split(step: Step) -> str | None:
    pattern = step.get("pattern")
    if not isinstance(pattern, Mapping):
        return None
    regex, text = pattern.get("Regex"), pattern.get("String")
    if isinstance(regex, str):
        expression = normalised(regex)
    else:
        expression = re.escape(text) if isinstance(text, str) else ""
    isolated = step.get("behavior") == "Isolated" and not step.get("invert")
    # Keeping the matches only is the same where everything matches.
    kept = step.get("behavior") == "Removed" and step.get("invert") is True
    whole = kept and expression.endswith(r"|\s+")
    return expression if expression and (isolated or whole) else None


def _read_digits(step: Step) -> str:
    return DIGIT if step.get("individual_digits") else DIGITS


def _read_byte_level(step: Step) -> str | None:
    if step.get("add_prefix_space"):
        return None
    return GPT2 if step.get("use_regex", True) else ""


def _read_punctuation(step: Step) -> str | None:
    return PUNCTUATION if step.get("behavior") == "Contiguous" else None


_READERS: Final[Mapping[str, Callable[[Step], str | None]]] = {
    "Split": _read_split,
    "Digits": _read_digits,
    "ByteLevel": _read_byte_level,
    "Punctuation": _read_punctuation,
}


def _unknown(part: str, problem: str) -> UnrepresentableError:
    return UnrepresentableError(
        FILE,
        "the pre-tokenizer has no name in ggml's list, so a flat vocabulary cannot say"
        " how to split text",
        [Fault(part, problem, KEPT)],
    )
