"""Place: which of the processes of one run this is."""

import os
from collections.abc import Mapping
from typing import Final, Self

from attrs import frozen

from aprhub.errors import UsageError

_NUMBERS: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_ADDRESS: Final = ("MASTER_ADDR", "MASTER_PORT")
"""Where `torchrun` tells a process its place, and where the first one is."""


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
        if environment.get("WORLD_SIZE", "1") == "1":
            return cls()
        told = {name: environment.get(name, "") for name in (*_NUMBERS, *_ADDRESS)}
        numbers = [told[name] for name in _NUMBERS]
        is_whole = all(told.values()) and all(map(str.isdecimal, numbers))
        if not is_whole or not int(told["RANK"]) < int(told["WORLD_SIZE"]):
            listed = ", ".join(f"{name} is {word!r}" for name, word in told.items())
            raise UsageError(
                "the environment does not say which of several processes this is:"
                f" {listed}; start them with torchrun"
            )
        return cls(*map(int, numbers))

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints for all."""
        return self.rank == 0


ALONE: Final = Place()
