"""Functions run by two processes of one training at once."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

from aprhub.place import Place
from aprhub.training.processes import joined

_MODULES = ["torch", "torch.distributed.fsdp", "tests.unit.training.toy"]


Pool = Sequence[ProcessPoolExecutor]
"""A worker for each rank: torch remembers of a process what depends on its rank."""


@contextmanager
def two_processes() -> Iterator[Pool]:
    """Give workers that are forked from a process in which torch is imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    with (
        ProcessPoolExecutor(1, context, initializer=_settle) as first,
        ProcessPoolExecutor(1, context, initializer=_settle) as other,
    ):
        yield first, other


def _settle() -> None:
    torch.set_num_threads(1)


def together(pool: Pool, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what a function of the processes gives in each, by rank."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    tasks = [
        worker.submit(_placed, rank, port, function, arguments)
        for rank, worker in enumerate(pool)
    ]
    wait(tasks, 60)
    return [task.result(0) for task in tasks]


def _placed(
    rank: int, port: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    place = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in (place | address).items()}
    with joined(Place.found(), "cpu") as processes:
        return function(processes, *arguments)
