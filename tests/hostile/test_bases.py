"""The writers used here are right: other people's readers take their valid files."""

import struct
from pathlib import Path

import pytest
from gguf import GGUFReader
from safetensors import safe_open
from tokenizers import Tokenizer

from tests.hostile import apr_file, gguf_file, model_folder, tiny
from tests.hostile.fields import padded
from tests.hostile.trial import TRIALS


def test_the_gguf_package_reads_the_valid_file(tmp_path: Path) -> None:
    reader = GGUFReader(gguf_file.valid().write(tmp_path))

    read = {each.name: each.data.tobytes() for each in reader.tensors}

    assert read == {tiny.gguf_name(name): tiny.weights(name) for name in tiny.SHAPES}


def test_the_safetensors_package_reads_the_valid_folders(tmp_path: Path) -> None:
    single = model_folder.valid().write(tmp_path)

    with safe_open(single / model_folder.WEIGHTS, "np") as file:
        read = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118

    assert read == {name: tiny.weights(name) for name in tiny.SHAPES}


def test_the_tokenizers_package_reads_the_valid_tokenizer(tmp_path: Path) -> None:
    folder = model_folder.valid().write(tmp_path)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    assert tokenizer.get_vocab_size() == tiny.VOCAB
    assert tokenizer.encode("the reason<|end|>").ids[-1] == 1


def test_the_apr_writer_makes_the_worked_example_of_the_format() -> None:
    text = (
        '{"model_type":"demo","license":"MIT","data_source":null,'
        '"data_license":null,"total_size":0,"param_count":8}'
    )
    q8 = struct.pack("<fbb", 0.5, 127, -64)
    f32 = struct.pack("<6f", 1, 2, 3, -1, -2, -3)
    entries = (
        apr_file.Entry(b"a", 129, (2,), 0, 6),
        apr_file.Entry(b"w", 0, (2, 3), 64, 24),
    )
    data = padded(q8, 64) + padded(f32, 64)

    file = apr_file.AprFile(text.encode(), entries, data, {"flags": 0x0420})

    written = file.tobytes()
    assert len(written) == 452
    assert written[40:44] == struct.pack("<I", 0x2D5E8DBC)
    assert written[-4:] == struct.pack("<I", 0xB1E9F073)


@pytest.mark.parametrize("name", sorted({trial.format for trial in TRIALS}))
def test_no_two_cases_of_a_format_have_one_name(name: str) -> None:
    names = [trial.case.name for trial in TRIALS if trial.format == name]

    assert len(names) == len(set(names))
