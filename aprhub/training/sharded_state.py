"""The state of a training whose processes have parts of it: a folder of their files.

torch.distributed.checkpoint writes and reads it, as safetensors files: what it writes
by default is pickled. Any number of processes can read it, each the rows that it needs.
"""

import json
import os
import shutil
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from attrs import frozen
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from aprhub.errors import CorruptFileError, EnvironmentFailureError
from aprhub.export.staging import sync_folder
from aprhub.ir.encoding import F32
from aprhub.ir.joining import concatenated
from aprhub.ir.tensor import Tensor
from aprhub.training.optimizer import trained
from aprhub.training.processes import Processes
from aprhub.training.progress import Progress
from aprhub.training.state import ANEW, AVERAGES, WEIGHT, put_back, tensors_of

_RUN: Final = "run.json"
_ROWS: Final = "DCP_SHARDING_INFO"
"""Where torch says in a file from which row on it has each tensor."""


@frozen
class ShardedState:
    """A folder that has the state of a run in a folder for its step.

    There is but one, except while the next is written, and not yet whole.
    """

    path: Path
    processes: Processes

    @property
    def whole(self) -> list[Path]:
        """The folders that are whole, the last one last."""
        found = self.path.glob("step-*")
        return sorted(found, key=lambda path: (len(path.name), path.name))

    @contextmanager
    def saved(
        self,
        decoder: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        told: Mapping[str, Any],
    ) -> Iterator[Mapping[str, Tensor]]:
        """Write the state, which takes the place of the last when the block ends.

        Gives the first process all weights, as tensors over the files of all. Raises
        EnvironmentFailureError when a machine cannot; then the last one stands.
        """
        name = f"step-{progress.step:06}"
        partial = self.path / f".{name}.partial"
        self._first(lambda: _make_anew(partial))
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        try:
            save(tensors_of(decoder, optimizer), storage_writer=writer)
        except CheckpointException as error:
            raise EnvironmentFailureError(
                f"{self.path}: the state of step {progress.step} could not be written"
                f" {_cause(error)}; make room there, or get the right to write, and"
                " start again with --resume"
            ) from error
        names = list(trained(decoder))
        yield _weights(partial, names) if self.processes.place.is_first else {}
        run = {"progress": progress.as_json(), "told": dict(told)}
        self._first(lambda: self._publish(partial, name, run))

    def _first(self, work: Callable[[], object]) -> None:
        def named() -> None:
            try:
                work()
            except OSError as error:
                raise EnvironmentFailureError(
                    f"{self.path}: the state could not be written: {error}; make room"
                    " there, or get the right to write, and start again with --resume"
                ) from error

        self.processes.by_first(named)

    def _publish(self, partial: Path, name: str, run: Mapping[str, Any]) -> None:
        last = self.whole
        with (partial / _RUN).open("w", encoding="utf-8") as file:
            json.dump(run, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.path / name)
        sync_folder(self.path)
        for each in last:
            shutil.rmtree(each)

    def described(self) -> tuple[Progress, Mapping[str, Any]]:
        """Return how far the run was, and what it was asked for.

        Raises CorruptFileError for a folder that says neither.
        """
        path = self.whole[-1] / _RUN
        try:
            run = json.loads(path.read_text("utf-8"))
            return Progress.of(run["progress"]), run["told"]
        except (OSError, KeyError, TypeError, ValueError) as error:
            what = f"no state of a run: {error}"
            raise CorruptFileError(path, what, repair=ANEW) from error

    def load(
        self, decoder: nn.Module, optimizer: torch.optim.Optimizer, step: int
    ) -> None:
        """Put weights and averages back, those of a step, where they were.

        Raises CorruptFileError where the files are of another model, or damaged.
        """
        folder, found = self.whole[-1], tensors_of(decoder, optimizer)
        alone = self.processes.world == 1
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "torch.distributed is disabled")
                reader = HuggingFaceStorageReader(str(folder))
                load(found, storage_reader=reader, no_dist=alone)
        except CheckpointException as error:
            what = f"it does not hold the state of this model {_cause(error)}"
            raise CorruptFileError(folder, what, repair=ANEW) from error
        for name, parameter in trained(decoder).items():
            averages = {each: found[f"{each}/{name}"] for each in AVERAGES}
            put_back(optimizer, parameter, averages, step)


def _cause(error: CheckpointException) -> str:
    """Return what went wrong in the first process that it did in, without a trace."""
    rank, (cause, _trace) = min(error.failures.items())
    return f"in process {rank}: {cause}"


def _make_anew(partial: Path) -> None:
    """Make an empty folder, and remove those that a process left when it was killed."""
    partial.parent.mkdir(exist_ok=True)
    for left in partial.parent.glob(".step-*.partial"):
        shutil.rmtree(left)
    partial.mkdir()


def _weights(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights of some names, each of its rows in all files."""
    parts: dict[str, list[tuple[int, Tensor]]] = defaultdict(list)
    for path in folder.glob("*.safetensors"):
        for name, row, part in _parts(path):
            parts[name].append((row, part))

    def joined(name: str) -> Tensor:
        found = sorted(parts[WEIGHT + name], key=lambda part: part[0])
        return concatenated([part for _, part in found])

    return {name: joined(name) for name in names}


def _parts(path: Path) -> Iterator[tuple[str, int, Tensor]]:
    """Yield name, first row and rows of each tensor in a file that was just written.

    A file is the length of a header, in eight bytes, the header, and the tensors.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    places = json.loads(header.pop("__metadata__")[_ROWS])
    for name, entry in header.items():
        start = 8 + length + entry["data_offsets"][0]
        row = places[name]["saved_offsets"][0]
        yield name, row, Tensor.at(path, start, entry["shape"], F32)
