"""Several calls side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """Return what some calls return, so many of them at a time.

    That saves time where most of it is spent outside of Python's own code. An exception
    of one is raised when all have ended.
    """
    if min(len(calls), workers) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(workers) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]
