"""`aprhub quantize` gives the tensors that llama.cpp's own quantiser gives."""

import math
from pathlib import Path

import gguf
import numpy as np
import pytest

import aprhub
import aprhub_ggml
from aprhub.errors import UnrepresentableError, UsageError
from aprhub_ggml import native
from tests.end_to_end import quantised
from tests.end_to_end.quantised import Sources
from tests.judges import deep, gguf_c
from tests.judges.llama import Llama
from tests.judges.record_quantised import FILE_TYPES
from tests.judges.tensor_digest import digest
from tests.unit.cli.program import refused, succeed

CASES = [
    *quantised.cases("grouped"),
    *quantised.cases(
        *("odd", "two", "eight", "fused"),
        quick=("q3_k_m", "q4_k_m+imatrix", "iq2_m+imatrix", "mxfp4_moe"),
    ),
]


def _quantised(
    source: Path, target: Path, mixture: str, *, no_requantize: bool = False
) -> Path:
    options = aprhub.ConvertOptions(quantize=mixture, no_requantize=no_requantize)
    aprhub.convert(source, target, options)
    return target


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("deep"))


@pytest.mark.parametrize(("model", "case"), CASES)
def test_types_and_bytes_are_those_of_llama_cpp(
    model: str, case: str, sources: Sources, tmp_path: Path
) -> None:
    source, options = sources.of(model), sources.options(model, case)

    aprhub.convert(source, tmp_path / "q.gguf", options)

    assert digest(tmp_path / "q.gguf") == quantised.RECORDED[model][case]
    file_type = gguf_c.number(tmp_path / "q.gguf", "general.file_type")
    assert file_type == FILE_TYPES[case.partition("+")[0]]


@pytest.mark.parametrize(("model", "case"), quantised.REFUSED)
def test_what_llama_cpp_refuses_without_importance_is_refused(
    model: str, case: str, sources: Sources, tmp_path: Path
) -> None:
    options = sources.options(model, case)

    with pytest.raises(UnrepresentableError, match="give one with --imatrix"):
        aprhub.convert(sources.of(model), tmp_path / "q.gguf", options)


@pytest.mark.parametrize(
    "case",
    [
        *("q2_k", "q4_k_m", "q4_0+imatrix"),
        *(
            pytest.param(case, marks=pytest.mark.slow)
            for case in (
                *("q3_k_l", "q5_k_m", "q6_k", "iq4_nl", "iq4_xs"),
                *("q3_k_m+imatrix", "q5_k_s+imatrix"),
            )
        ),
    ],
)
def test_without_the_wheel_the_bytes_are_the_same(
    case: str, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aprhub_ggml, "find_spec", lambda _name: None)
    source, options = sources.of("grouped"), sources.options("grouped", case)

    aprhub.convert(source, tmp_path / "q.gguf", options)

    assert digest(tmp_path / "q.gguf") == quantised.RECORDED["grouped"][case]


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for workers in (1, 3):
        options = aprhub.ConvertOptions(quantize="q4_k_m", workers=workers)
        aprhub.convert(deep.deep("odd"), tmp_path / f"{workers}.gguf", options)
        made.append((tmp_path / f"{workers}.gguf").read_bytes())

    assert made[0] == made[1]


def test_the_command_quantises_verifies_and_says_so(tmp_path: Path) -> None:
    target = tmp_path / "q.gguf"

    text = succeed(
        "quantize", deep.deep("grouped"), target, "--type", "Q4_K_M", "--verify"
    ).out

    assert "102 quantised to q4_k" in text
    assert "19 quantised to q6_k" in text
    assert "verified by values" in text
    with Llama.load(target) as llama:
        assert np.isfinite(llama.logits(llama.tokenize("a b", add_special=True))).all()


def test_a_dry_run_lists_the_encoding_of_every_tensor(tmp_path: Path) -> None:
    words = ("quantize", deep.deep("odd"), tmp_path / "q.gguf", "--type", "q4_k_m")

    found = succeed(*words, "--dry-run", "--json").json
    size = sum(each["nbytes"] for each in found["files"])

    assert not (tmp_path / "q.gguf").exists()
    succeed(*words)
    assert (tmp_path / "q.gguf").stat().st_size == size
    kinds = {each["target"]: each["encoding"] for each in found["tensors"]}
    assert kinds["token_embd.weight"] == "q8_0"
    assert kinds["blk.0.attn_q.weight"] == "q5_0"
    assert kinds["blk.0.attn_norm.weight"] == "f32"


def test_named_tensors_get_the_encoding_that_is_said(tmp_path: Path) -> None:
    options = aprhub.ConvertOptions(
        quantize="q4_k_m",
        tensor_types=("blk.0.attn_q.weight=q8_0", "layers.1.*.weight=f16"),
    )
    report = aprhub.convert(deep.deep("grouped"), tmp_path / "q.gguf", options)

    kinds = {each.target: each.encoding for each in report.tensors}
    assert kinds["blk.0.attn_q.weight"] == "q8_0"
    assert kinds["blk.1.attn_q.weight"] == "f16"
    assert kinds["blk.1.attn_norm.weight"] == "f32"
    assert kinds["blk.2.attn_q.weight"] == "q4_k"


def test_apr_holds_what_has_whole_super_blocks(tmp_path: Path) -> None:
    report = aprhub.convert(
        deep.deep("grouped"),
        tmp_path / "q.apr",
        aprhub.ConvertOptions(quantize="q4_k_m", verify="values"),
    )

    encodings = {each.encoding for each in report.tensors}
    assert encodings == {"q4_k", "q6_k", "f32"}
    with pytest.raises(UnrepresentableError, match="apr does not hold q8_0"):
        _quantised(deep.deep("odd"), tmp_path / "odd.apr", "q4_k_m")
    assert not (tmp_path / "odd.apr").exists()


def test_requantising_is_said_and_can_be_refused(tmp_path: Path) -> None:
    first = _quantised(deep.deep("grouped"), tmp_path / "q8.gguf", "q8_0")

    options = aprhub.ConvertOptions(quantize="q6_k")
    report = aprhub.convert(first, tmp_path / "q6.gguf", options)

    said = "requantised: 121 tensors were decoded from q8_0 to q6_k"
    assert said in report.notes
    assert "q8_0 decoded by libggml-python" in report.notes
    assert "q6_k quantised by libggml-python" in report.notes
    with pytest.raises(UnrepresentableError, match="is q8_0 and would have to be"):
        _quantised(first, tmp_path / "no.gguf", "q6_k", no_requantize=True)
    words = (first, tmp_path / "no.gguf", "--type", "q6_k", "--no-requantize")
    assert "would have to be" in refused(1, "quantize", *words)


def test_the_same_mixture_again_is_a_copy(tmp_path: Path) -> None:
    first = _quantised(deep.deep("grouped"), tmp_path / "a.gguf", "q4_k_m")

    again = _quantised(first, tmp_path / "b.gguf", "q4_k_m", no_requantize=True)

    assert digest(again) == digest(first)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, r"is nan at \[2, 7\]"),
        (-np.inf, r"is -inf at \[2, 7\]"),
        (1e30, r"as large as 1e\+30"),
    ],
)
def test_values_that_blocks_cannot_hold_are_refused_by_name(
    value: float, what: str, tmp_path: Path
) -> None:
    broken = _broken(tmp_path / "broken.gguf", value)

    with pytest.raises(UnrepresentableError, match=f"blk.1.ffn_up.weight: .*{what}"):
        _quantised(broken, tmp_path / "q.gguf", "q8_0")

    assert not (tmp_path / "q.gguf").exists()


def _broken(path: Path, value: float, name: str = "blk.1.ffn_up.weight") -> Path:
    """Make a model with a value in the third row of a matrix, and in the last one."""
    aprhub.convert(deep.deep("odd"), path)
    reader = gguf.GGUFReader(path, "r+")
    (tensor,) = (t for t in reader.tensors if t.name == name)
    tensor.data[2, 7] = tensor.data[-1, 0] = value
    reader.data.flush()
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("mixture", ["q8_0", "q4_k_m"])
def test_values_without_number_become_what_ggml_makes_of_them(
    value: float, mixture: str, tmp_path: Path
) -> None:
    broken, target = _broken(tmp_path / "broken.gguf", value), tmp_path / "q.gguf"

    succeed("quantize", broken, target, "--type", mixture, "--pure", "--allow-nan")

    (before,) = _tensors(broken, "blk.1.ffn_up.weight")
    (after,) = _tensors(target, "blk.1.ffn_up.weight")
    expected = native.encode(after.tensor_type.name.lower(), before.data, None)
    assert np.array_equal(after.data.reshape(expected.shape), expected)


def _tensors(path: Path, name: str) -> list[gguf.ReaderTensor]:
    return [t for t in gguf.GGUFReader(path).tensors if t.name == name]


def test_nvfp4_cuts_nothing_off(tmp_path: Path) -> None:
    name = "blk.1.ffn_down.weight"
    for value, held in ((2600.0, True), (2700.0, False)):
        broken = _broken(tmp_path / "broken.gguf", value, name)
        options = aprhub.ConvertOptions(
            quantize="q8_0", tensor_types=(f"{name}=nvfp4",), force=True
        )
        if held:
            aprhub.convert(broken, tmp_path / "q.gguf", options)
        else:
            with pytest.raises(UnrepresentableError, match=f"{name}.*as large as 2700"):
                aprhub.convert(broken, tmp_path / "q.gguf", options)
        broken.unlink()


def test_rows_of_no_whole_blocks_are_told_what_they_can_be(tmp_path: Path) -> None:
    options = aprhub.ConvertOptions(
        quantize="q8_0", tensor_types=("blk.0.ffn_up.weight=q4_k",)
    )

    with pytest.raises(
        UnrepresentableError, match=r"ffn_up.* q4_k in .*288\], only q4_0"
    ):
        aprhub.convert(deep.deep("odd"), tmp_path / "q.gguf", options)


def test_a_pattern_that_fits_no_tensor_is_wrong_usage(tmp_path: Path) -> None:
    words = ("--type", "q8_0", "--tensor-type", "blk.9.*=q4_0")

    output = refused(2, "quantize", deep.deep("odd"), tmp_path / "q.gguf", *words)

    assert "no tensor is called 'blk.9.*'" in output
    assert "token_embd.weight" in output


def test_a_part_of_a_name_is_told_how_it_would_be_a_pattern(tmp_path: Path) -> None:
    words = ("--type", "q8_0", "--tensor-type", "ffn_down=q4_0")

    output = refused(2, "quantize", deep.deep("odd"), tmp_path / "q.gguf", *words)

    assert "('*ffn_down*' fits 5)" in output


def test_what_ggml_would_abort_over_is_refused_all_the_same(tmp_path: Path) -> None:
    broken = _broken(tmp_path / "broken.gguf", np.nan, "blk.1.ffn_down.weight")
    options = aprhub.ConvertOptions(
        quantize="q8_0", allow_nan=True, tensor_types=("blk.1.ffn_down.weight=iq3_s",)
    )

    with pytest.raises(
        UnrepresentableError, match=r"which iq3_s .* for encodings that .*q4_0"
    ):
        aprhub.convert(broken, tmp_path / "q.gguf", options)


@pytest.mark.parametrize(("name", "encoding"), [("q4", "apr_q4"), ("Q8", "apr_q8")])
def test_apr_has_two_encodings_of_its_own(
    name: str, encoding: str, tmp_path: Path
) -> None:
    made = []
    for workers in (1, 3):
        target = tmp_path / f"{workers}.apr"
        options = aprhub.ConvertOptions(quantize=name, workers=workers, verify="values")
        report = aprhub.convert(deep.deep("odd"), target, options)
        made.append(target.read_bytes())

    assert made[0] == made[1]
    for each in report.tensors:
        matrix = len(each.shape) == 2 and math.prod(each.shape) >= 1024
        assert each.encoding == (encoding if matrix else "f32"), each.target
    with pytest.raises(
        UnrepresentableError, match=f"does not hold {encoding} in .* only"
    ):
        _quantised(deep.deep("odd"), tmp_path / "q.gguf", name)


@pytest.mark.parametrize(
    "words",
    [
        ("--quantize", "q9_k"),
        ("--quantize", "q8_0", "--dtype", "f16"),
        ("--tensor-type", "*=q8_0"),
        ("--quantize", "q8_0", "--tensor-type", "q8_0"),
        ("--quantize", "q8_0", "--tensor-type", "*=q99"),
    ],
)
def test_requests_that_make_no_sense_are_wrong_usage(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    refused(2, "convert", deep.deep("odd"), tmp_path / "q.gguf", *words)


def test_an_unknown_mixture_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="q4_k_m"):
        aprhub.ConvertOptions(quantize="q44")


def test_with_names_kept_there_is_no_mixture_but_one_encoding(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    aprhub.convert(deep.deep("odd"), source)
    words = ("quantize", source, tmp_path / "q.gguf", "--type", "q8_0")
    kept = (*words, "--naming", "keep")

    refused(2, *kept)
    succeed(*kept, "--pure")
    succeed("quantize", source, tmp_path / "known.gguf", "--type", "q8_0")

    assert digest(tmp_path / "q.gguf") == digest(tmp_path / "known.gguf")
