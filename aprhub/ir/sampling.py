"""How the makers of a model would have its next token drawn."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from attrs import asdict, frozen

_LARGEST_COUNT: Final = (1 << 31) - 1
_LARGEST_NUMBER: Final = float(np.finfo(np.float32).max)


@frozen
class SamplingDefaults:
    """What a program that is told nothing else should draw tokens with.

    A `temperature` of 0 takes the likeliest token each time; `top_k` of 0 leaves all.
    `top_p` and `min_p` are probabilities, and `repetition_penalty` divides the logits
    of tokens that were there already. None means that the makers do not say.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> tuple[Self, tuple[str, ...]]:
        """Return what a file says, and the names of what it says in no such number.

        Null says nothing.
        """
        given = {name: value for name, value in said.items() if value is not None}
        fit = {name: value for name, value in given.items() if _fits(name, value)}
        return cls(**fit), tuple(name for name in given if name not in fit)

    def known(self) -> dict[str, Any]:
        """Return what the makers say, by name."""
        return {name: each for name, each in asdict(self).items() if each is not None}

    def differing(self, other: "SamplingDefaults") -> list[str]:
        """Return the names of what both say, or this one alone, and not the same.

        Numbers are compared as f32, as which some formats keep them.
        """
        before = other.known()
        return [
            name
            for name, value in self.known().items()
            if name not in before or np.float32(value) != np.float32(before[name])
        ]


def _fits(name: str, value: Any) -> bool:
    if name == "top_k":
        return type(value) is int and 0 <= value <= _LARGEST_COUNT
    return type(value) in (int, float) and 0 <= value <= _LARGEST_NUMBER
