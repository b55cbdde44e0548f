"""Place: which of the processes of one run this is."""

import os
from collections.abc import Mapping
from typing import Final, Self

from attrs import frozen

from aprhub.errors import UsageError

_NAMES: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Where `torchrun` tells a process its place."""


@frozen
class Place:
    """One process among the `world` of a run, by its `rank` from 0.

    `local_rank` counts the processes of one machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def found(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the place that the environment tells; without, the only one.

        Raises UsageError where it tells a part of it, or what cannot be.
        """
        told = {name: environment.get(name, "") for name in _NAMES}
        if told["WORLD_SIZE"] in ("", "1"):
            return cls()
        wrong = [f"{name} is {word!r}" for name, word in told.items()]
        if not all(word.isdecimal() for word in told.values()):
            raise UsageError(_unstarted(wrong))
        rank, world, local = map(int, told.values())
        if not rank < world:
            raise UsageError(_unstarted(wrong))
        return cls(rank, world, local)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints for all."""
        return self.rank == 0


ALONE: Final = Place()


def _unstarted(wrong: list[str]) -> str:
    what = "the environment does not say which of several processes this is"
    return f"{what}: {', '.join(wrong)}; start them with torchrun"
