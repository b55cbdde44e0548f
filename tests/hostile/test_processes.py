"""The program in a process of its own: exit codes, one paragraph, memory and time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import apr_cases, folder_cases, gguf_cases, gguf_file
from tests.hostile import safetensors_cases as safetensors
from tests.hostile.case import Case, Expected
from tests.hostile.program import Measured, measure
from tests.hostile.trial import complaints, is_named

MIB: Final = 2**20
MOST: Final = 300 * MIB
MORE_THAN_USUAL: Final = 64 * MIB


def _named(cases: list[Case], *names: str) -> Iterator[Case]:
    found = {case.name: case for case in cases}
    return (found[name] for name in names)


CHOSEN: Final = [
    *_named(
        gguf_cases.CASES,
        *("n_tensors 1152921504606846976", "array count 2^60 of strings"),
        "llama.block_count 4294967295",
    ),
    *_named(
        apr_cases.CASES,
        *("tensor_count 4294967295", "metadata of 1 GB", "a compressed bomb"),
    ),
    *_named(
        safetensors.CASES,
        *("header length 2^63-1", "header nested lists, 100,000 deep"),
    ),
    *_named(
        folder_cases.CASES,
        *("a shard is a FIFO", "config.json is of 1073741824 bytes"),
        *("num_hidden_layers is 1000000000", "a vocabulary with an id of 2^40"),
    ),
]
MORE: Final = [
    *_named(
        gguf_cases.CASES,
        *("n_kv 1152921504606846976", "array count 2^60 of u8"),
        *("arrays nested 100,000 deep", "a tensor larger than the file"),
    ),
    *_named(
        apr_cases.CASES,
        *("an index of 1 GB", "metadata deep objects", "num_layers is 2147483648"),
    ),
    *_named(safetensors.CASES, "ten thousand tensors on one range"),
    *_named(
        folder_cases.CASES,
        *("the weights are a link to a device", "weight_map climbs to a valid file"),
        *("tokenizer.json is of 1073741824 bytes", "added tokens with an id of 10^9"),
    ),
]
ALL: Final = [*CHOSEN, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE)]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What the conversion of the valid tiny file takes."""
    folder = tmp_path_factory.mktemp("usual")
    path = gguf_file.valid().write(folder)
    return measure("convert", path, folder / "out.apr")


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_refusal_is_one_paragraph_in_little_memory(
    workplace: Path, usual: Measured, case: Case
) -> None:
    target = workplace / "target"
    target.mkdir()
    path = case.build(workplace)

    done = measure("convert", path, target / "out.gguf")

    assert usual.outcome.code == 0, usual.outcome.stderr
    assert complaints(done.outcome, case, Expected.REFUSED) == []
    assert is_named(path, done.outcome.stderr)
    assert list(target.iterdir()) == []
    assert done.peak < min(MOST, usual.peak + MORE_THAN_USUAL)


@pytest.mark.slow
@pytest.mark.parametrize("case", safetensors.HEAVY, ids=str)
def test_a_header_of_100_mb_costs_a_constant(workplace: Path, case: Case) -> None:
    path = case.build(workplace)

    done = measure("inspect", path, seconds=60)

    assert complaints(done.outcome, case, case.inspects) == []
    assert done.peak < MOST


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "/proc"])
def test_what_is_no_model_is_refused_at_once(workplace: Path, name: str) -> None:
    done = measure("inspect", name)

    assert done.outcome.code == 3
    assert "Traceback" not in done.outcome.stderr


def test_debug_shows_where_an_error_comes_from(workplace: Path) -> None:
    path = next(_named(gguf_cases.CASES, "version 0")).build(workplace)

    plain = measure("inspect", path)
    debug = measure("inspect", path, "--debug")

    assert (plain.outcome.code, debug.outcome.code) == (3, 3)
    assert "Traceback" not in plain.outcome.output
    assert "Traceback" in debug.outcome.stderr
