"""`aprhub diff`: its exit code, its text and its JSON."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub import Tensor, save_model
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed


@pytest.mark.parametrize("suffix", [".apr", "", ".gguf"])
def test_a_model_is_equal_in_every_format(
    models: Models, gguf: Path, suffix: str
) -> None:
    done = succeed("diff", gguf, models.file("llama", suffix))

    renamed = 0 if suffix == ".gguf" else 21
    assert done.out == f"21 tensors: 21 equal; {renamed} renamed\n"


def test_the_json_has_every_tensor(gguf: Path, apr: Path) -> None:
    found = succeed("diff", gguf, apr, "--json").json

    assert sorted(found) == ["config", "equal", "schema", "tensors", "tokenizer"]
    assert (found["schema"], found["equal"]) == (1, True)
    assert found["tensors"][0] == {
        "name": "embed.weight",
        "outcome": "equal",
        "renamed": True,
        "detail": "",
        "max_error": None,
    }


def test_a_wider_copy_is_no_difference(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "wide.apr", "--dtype", "f32")

    text = succeed("diff", gguf, tmp_path / "wide.apr").out

    assert "10 widened" in text


def test_other_values_are_a_difference_with_its_size(
    gguf: Path, tmp_path: Path
) -> None:
    succeed("convert", gguf, tmp_path / "cast.apr", "--dtype", "bf16")

    done = run("diff", gguf, tmp_path / "cast.apr")

    assert done.code == 1
    assert "\n  head.weight: cast (f32 and bf16, max error 0.0" in done.out
    assert done.err == ""


def test_a_difference_is_one_in_json_too(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "cast.apr", "--dtype", "bf16")

    done = run("diff", gguf, tmp_path / "cast.apr", "--json")

    assert done.code == 1
    assert not done.json["equal"]


def test_configuration_and_tokenizer_are_compared(
    models: Models, apr: Path, tmp_path: Path
) -> None:
    model = models.pico("llama")
    assert model.tokenizer
    other = evolve(
        model,
        config=evolve(model.config, norm_eps=1e-6),
        tokenizer=evolve(model.tokenizer, chat_template="{{ other }}"),
    )
    save_model(other, tmp_path / "other.apr", registry=models.registry)

    done = run("diff", apr, tmp_path / "other.apr")

    assert done.code == 1
    assert "  config norm_eps: 1e-05 and 1e-06\n" in done.out
    assert "  tokenizer: the chat templates differ\n" in done.out


def test_models_of_other_shapes_are_compared(
    models: Models, gguf: Path, tmp_path: Path
) -> None:
    other = models.file("llama-biased", ".gguf")

    done = run("diff", gguf, other)

    assert done.code == 1
    assert "layers.0.attn.q.bias: added\n" in done.out
    assert "layers.0.attn.q.weight: shape ((96, 64) and (64, 64))\n" in done.out
    assert "config head_dim: 24 and 16\n" in done.out


def test_a_missing_file_is_named(gguf: Path, tmp_path: Path) -> None:
    complaint = refused(3, "diff", gguf, tmp_path / "absent.apr")

    assert "absent.apr: there is no such file" in complaint


def test_a_difference_without_bounds_is_told_in_json_all_the_same(
    models: Models, apr: Path, tmp_path: Path
) -> None:
    model = models.pico("llama")
    values = model.tensors["embed.weight"].numpy().copy()
    values[0, 0] = np.nan
    tensors = {**model.tensors, "embed.weight": Tensor.of(values)}
    other = evolve(model, tensors=tensors)
    save_model(other, tmp_path / "nan.apr", registry=models.registry)

    first, *_ = run("diff", apr, tmp_path / "nan.apr", "--json").json["tensors"]

    assert (first["outcome"], first["max_error"]) == ("values", "inf")


def test_what_quantising_costs_is_measured(gguf: Path, tmp_path: Path) -> None:
    succeed("quantize", gguf, tmp_path / "small.gguf", "--type", "Q8_0", "--pure")

    done = succeed("diff", gguf, tmp_path / "small.gguf", "--quant")

    header, *rows = done.out.splitlines()
    assert header.split() == [
        *("name", "from", "to", "rmse", "snr_db", "cosine", "max_error")
    ]
    assert len(rows) == 22
    measures = {row.split()[0]: row.split() for row in rows}
    assert measures["layers.0.attn.norm.weight"][4] == "inf"
    assert 35 < float(measures["head.weight"][4]) < 60


def test_the_measures_are_in_the_json_and_in_a_picture(
    gguf: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "measures.html"

    found = succeed("diff", gguf, gguf, "--plot", picture, "--json").json

    assert sorted(found) == ["schema", "tensors", "total"]
    assert found["total"]["rmse"] == 0
    assert found["total"]["snr_db"] == "inf"
    assert "ffn.down.weight" in picture.read_text("utf-8")


def test_a_picture_does_not_replace_a_file(gguf: Path, tmp_path: Path) -> None:
    picture = tmp_path / "measures.png"
    picture.write_bytes(b"mine")

    complaint = refused(2, "diff", gguf, gguf, "--plot", picture)

    assert "exists already" in complaint
    assert picture.read_bytes() == b"mine"
