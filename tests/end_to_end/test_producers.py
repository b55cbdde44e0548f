"""Every command that writes a model against every program that reads one (PKG-07).

A file that one program took was refused by the next too often: each command writes
each format here, and whoever reads that format has to take it. A new command is a line
in `PRODUCERS`, a new program one in `CONSUMERS`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from attrs import frozen
from gguf import GGUFReader

from tests.adapters import makers
from tests.end_to_end.roads import TOLERANCE, own_logits
from tests.judges import apr_checker, hf
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.judges.pico import pico
from tests.unit.cli.program import succeed

_STEP: Final = (
    " --cache cache --num-steps 1 --batch-size 2 --seq-len 32"
    " --validation-fraction 0.1 --device cpu"
)

PRODUCERS: Final[Mapping[str, str]] = {
    "adapter merge": "adapter merge base adapter -o {out}",
    "convert": "convert base {out}",
    "finetune": "finetune base --task text --data text.jsonl --run-dir {out}"
    f" --format {{format}}{_STEP}",
    "finetune lora": "finetune base --task text --data text.jsonl -o {out}"
    f" --method lora --merge --run-dir lora-{{format}}{_STEP}",
    "merge": "merge base other --method slerp --t 0.3 -o {out}",
    "pretrain": "pretrain --init base --dataset text.jsonl --run-dir {out}"
    f" --format {{format}}{_STEP}",
    "quantize": "quantize base {out} --type {type}",
    "stamp": "stamp base{suffix} -o {out} --license MIT",
}
"""What is run in a folder with a model in all formats, an adapter and text."""

ROUNDED: Final = {"quantize": 0.05}
"""The tolerance of producers whose files are computed with rounded inputs as well: what
llama.cpp and compressed-tensors do with such weights, and our decoder does not."""

IDS: Final = range(3, 1900, 60)


@frozen
class Target:
    """A format, the suffix of its models, and a quantisation that it holds."""

    format: str
    suffix: str
    type: str


APR, GGUF, HF = (
    Target("apr", ".apr", "apr_q8"),
    Target("gguf", ".gguf", "q8_0"),
    Target("hf", "", "w8a8"),
)


@frozen
class Made:
    """A model that a producer wrote."""

    path: Path
    producer: str

    def computes(self, logits: np.ndarray) -> bool:
        """Whether another program's logits are those of our own decoder."""
        found = agreement(logits, own_logits(self.path, IDS))
        tolerance = ROUNDED.get(self.producer, TOLERANCE)
        return found.difference <= tolerance


def _strict_checker(made: Made) -> None:
    assert apr_checker.check(made.path) == []
    assert apr_checker.runnable(made.path) == []


def _gguf_reader(made: Made) -> None:
    found = GGUFReader(made.path)
    assert found.fields["general.architecture"].contents() == "llama"
    assert {each.name for each in found.tensors} >= {
        "token_embd.weight",
        "output.weight",
    }


def _llama(made: Made) -> None:
    with Llama.load(made.path) as judge:
        assert made.computes(judge.logits(IDS))


def _transformers(made: Made) -> None:
    assert made.computes(hf.logits(made.path, IDS))


def _qa(made: Made) -> None:
    skipped = ("--skip-golden-output", "--min-executed", 6)
    found = succeed("qa", made.path, *skipped, "--json").json
    assert [each for each in found["gates"] if each["outcome"] == "FAIL"] == []


def _bench(made: Made) -> None:
    few = ("--max-tokens", 2, "--iterations", 1, "--warmup", 0)
    assert succeed("bench", made.path, *few, "--floor", 1e-3, "--json").json["passed"]


CONSUMERS: Final[Mapping[str, tuple[Target, Callable[[Made], None]]]] = {
    "the strict checker": (APR, _strict_checker),
    "qa of APR": (APR, _qa),
    "bench of APR": (APR, _bench),
    "the gguf package": (GGUF, _gguf_reader),
    "llama.cpp": (GGUF, _llama),
    "qa of GGUF": (GGUF, _qa),
    "bench of GGUF": (GGUF, _bench),
    "transformers": (HF, _transformers),
    "qa of a folder": (HF, _qa),
    "bench of a folder": (HF, _bench),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with all that the producers are given, and go there."""
    place, threads = tmp_path_factory.mktemp("producers"), torch.get_num_threads()
    torch.set_num_threads(1)
    (place / "text.jsonl").write_text("\n".join(map(json.dumps, _texts())), "utf-8")
    (place / "base").symlink_to(pico("llama-spm"))
    _make_adapter(place / "adapter")
    with chdir(place):
        for target in (APR, GGUF):
            succeed("convert", "base", f"base{target.suffix}")
        succeed("adapter", "merge", "base", "adapter", "-o", "other")
        yield place
    torch.set_num_threads(threads)


def _texts() -> Iterator[dict[str, str]]:
    """Yield so many documents that a tenth of them is some."""
    for number in range(60):
        sums = (f"{number} and {other} are {number + other}." for other in range(30))
        yield {"text": " ".join(sums)}


def _make_adapter(folder: Path) -> None:
    random = np.random.default_rng(5)
    name = "layers.1.self_attn.q_proj"
    halves = (random.normal(0, 0.3, dims) for dims in ((4, 64), (96, 4)))
    one, other = (half.astype(np.float32) for half in halves)
    makers.peft({name: (one, other)}, folder)


def _produced(producer: str, target: Target, place: Path) -> Made:
    """Return what a producer writes in a format; it is run once."""
    out = f"{producer.replace(' ', '-')}{target.suffix}"
    if not (place / out).exists():
        said = {"format": target.format, "suffix": target.suffix, "type": target.type}
        succeed(*PRODUCERS[producer].format(out=out, **said).split())
    runs = list((place / out).glob("checkpoints/*"))
    return Made(runs[0] if runs else place / out, producer)


@pytest.mark.parametrize("producer", PRODUCERS)
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_what_is_written_is_taken_by(consumer: str, producer: str, place: Path) -> None:
    target, takes = CONSUMERS[consumer]

    takes(_produced(producer, target, place))
