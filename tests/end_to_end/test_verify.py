"""`aprhub verify` names the mistake that a conversion made, and passes honest ones."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve, frozen

import aprhub
from aprhub.api import ENCODINGS, HF_WORLD, StoredModel, Tensor
from aprhub.testing.models import PICOS
from aprhub.verification.hypotheses import Encoders
from tests.end_to_end.planting import REGISTRY, Array, Change, Draft, written
from tests.end_to_end.quantised import Sources
from tests.end_to_end.roads import convert
from tests.judges import deep
from tests.judges.mistakes import IN_GGUF, IN_HF, Mistake, made_in_gguf, made_in_hf
from tests.judges.pico import FAMILIES, pico
from tests.judges.variants import Variant
from tests.unit.cli.program import run, succeed

QUERY = "layers.1.attn.q.weight"
KEY = "layers.1.attn.k.weight"
GATE = "layers.1.ffn.gate.weight"
UP = "layers.1.ffn.up.weight"
DOWN = "layers.0.ffn.down.weight"
BIAS = "layers.1.attn.v.bias"
EMBEDDING = "embed.weight"
HEAD = "head.weight"

SCALED = Variant(
    "llama-scaled",
    "llama-spm",
    {
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64,
        }
    },
)


@frozen
class Fault:
    """A mistake, in which model, and what verification must say first."""

    name: str
    change: Change
    subject: str
    cause: str
    detail: str = ""
    model: str | Variant = "llama-spm"

    def __str__(self) -> str:
        return self.name

    def source(self, folder: Path) -> Path:
        if isinstance(self.model, Variant):
            return self.model.made(folder)
        if self.model == "gemma3":
            model = PICOS["gemma3"].model(REGISTRY)
            aprhub.save_model(model, folder / "gemma3", registry=REGISTRY)
            return folder / "gemma3"
        return deep.deep(self.model) if self.model in deep.SHAPES else pico(self.model)


def values(name: str, change: Callable[[Array], Array]) -> Change:
    return lambda draft: draft.with_values(name, change)


def _paired(heads: int) -> Callable[[Array], Array]:
    def change(rows: Array) -> Array:
        halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)

    return change


def _in_other_heads(draft: Draft) -> StoredModel:
    """Reorder the rows of keys as if there were as many heads as of queries."""

    def change(rows: Array) -> Array:
        if draft.stored.naming == "ggml":
            right = rows.reshape(2, -1, 2, *rows.shape[1:]).swapaxes(1, 2)
            rows = right.reshape(rows.shape)
        else:
            rows = _paired(4)(rows)
            halves = rows.reshape(2, -1, 2, *rows.shape[1:]).swapaxes(1, 2)
            return halves.reshape(rows.shape)
        return _paired(4)(rows)

    return draft.with_values(KEY, change)


def _rows_reordered(draft: Draft) -> StoredModel:
    """Leave rows of rotated heads as they are where they are to be reordered."""
    if draft.stored.naming == "ggml":
        return draft.with_values(
            QUERY,
            lambda rows: (
                rows.reshape(4, -1, 2, *rows.shape[1:])
                .swapaxes(1, 2)
                .reshape(rows.shape)
            ),
        )
    return draft.with_values(QUERY, _paired(4))


def _transposed(draft: Draft) -> StoredModel:
    return draft.with_tensor(DOWN, draft.tensor(DOWN).transposed())


def _exchanged(draft: Draft) -> StoredModel:
    gate, up = draft.tensor(GATE), draft.tensor(UP)
    return Draft(draft.with_tensor(GATE, up)).with_tensor(UP, gate)


def _rounded(name: str) -> Change:
    def change(draft: Draft) -> StoredModel:
        tensor = draft.tensor(GATE).cast(ENCODINGS[name]).cast(ENCODINGS["f32"])
        return draft.with_tensor(GATE, tensor)

    return change


def _narrowed(draft: Draft) -> StoredModel:
    return draft.with_tensor(GATE, draft.tensor(GATE).cast(ENCODINGS["f16"]))


def _by_way_of(name: str) -> Change:
    def change(draft: Draft) -> StoredModel:
        between = Encoders(REGISTRY).encoded(draft.tensor(GATE), ENCODINGS[name])
        assert between
        return draft.with_tensor(GATE, between.decoded())

    return change


def _head_of_embedding(draft: Draft) -> StoredModel:
    return draft.with_tensor(HEAD, draft.tensor(EMBEDDING))


def _without_documents(stored: StoredModel) -> StoredModel:
    """Return a model without the source's own config.json, so that one is made."""
    rest = {world: keys for world, keys in stored.carried.items() if world != HF_WORLD}
    return evolve(stored, carried=rest)


def _config(**values: Any) -> Change:
    def change(draft: Draft) -> StoredModel:
        config = evolve(draft.stored.config, **values)
        return evolve(_without_documents(draft.stored), config=config)

    return change


def _unscaled(draft: Draft) -> StoredModel:
    tensors = {
        name: each for name, each in draft.stored.tensors.items() if "rope" not in name
    }
    return _config(rope_scaling=None)(Draft(evolve(draft.stored, tensors=tensors)))


def _tokenizer(**values: Any) -> Change:
    def change(draft: Draft) -> StoredModel:
        assert draft.stored.tokenizer
        tokenizer = evolve(draft.stored.tokenizer, **values)
        return evolve(_without_documents(draft.stored), tokenizer=tokenizer)

    return change


def _other_tokens(draft: Draft) -> StoredModel:
    """Exchange two tokens that are in every text."""
    before = draft.stored.tokenizer
    assert before
    if before.flat is None:
        assert before.json
        document = json.loads(before.json)
        vocabulary = document["model"]["vocab"]
        vocabulary["▁t"], vocabulary["▁a"] = vocabulary["▁a"], vocabulary["▁t"]
        return _tokenizer(json=json.dumps(document))(draft)
    tokens = list(before.flat.tokens)
    one, other = tokens.index("▁t"), tokens.index("▁a")
    tokens[one], tokens[other] = tokens[other], tokens[one]
    flat = evolve(before.flat, tokens=tokens)
    return evolve(draft.stored, tokenizer=evolve(before, flat=flat, json=None))


def _one_more(rows: Array) -> Array:
    return np.concatenate((rows, np.zeros_like(rows[:3])))


def _nan(rows: Array) -> Array:
    rows.reshape(-1)[7] = np.nan
    return rows


def _nudged(rows: Array) -> Array:
    rows[5, 3] += 0.25
    return rows


ROTATED = "4 heads of 24 rows"
FAULTS = (
    Fault("transposed", _transposed, DOWN, "transposed"),
    Fault(
        "columns-as-rows",
        values(DOWN, lambda rows: rows.T.reshape(rows.shape)),
        DOWN,
        "transposed",
    ),
    Fault("rope-rows", _rows_reordered, QUERY, "permuted", ROTATED),
    Fault("rope-heads", _in_other_heads, KEY, "permuted", "as 4 heads"),
    Fault(
        "shuffled",
        values(UP, lambda rows: rows[np.random.default_rng(1).permutation(len(rows))]),
        UP,
        "permuted",
        "another order",
    ),
    Fault(
        "one-missing",
        values("norm.weight", lambda norm: norm - 1),
        "norm.weight",
        "offset",
        "missing",
        "gemma3",
    ),
    Fault(
        "one-twice",
        values("norm.weight", lambda norm: norm + 1),
        "norm.weight",
        "offset",
        "twice",
        "gemma3",
    ),
    Fault("tied", _head_of_embedding, HEAD, "tied", EMBEDDING, "grouped"),
    Fault(
        "untied",
        lambda draft: Draft(_config(tie_embeddings=False)(draft)).with_tensor(
            HEAD, Tensor.of(draft.tensor(EMBEDDING).numpy()[::-1].copy())
        ),
        HEAD,
        "tied",
        "no copy",
        "odd",
    ),
    Fault("padded", values(EMBEDDING, _one_more), EMBEDDING, "padded", "3 rows more"),
    Fault(
        "cut", values(EMBEDDING, lambda rows: rows[:-2]), EMBEDDING, "padded", "2 rows"
    ),
    Fault("cast", _narrowed, GATE, "cast", "to f16"),
    Fault("rounded", _rounded("bf16"), GATE, "cast", "to bf16"),
    Fault(
        "blocks", _by_way_of("q8_0"), GATE, "requantised", "by way of q8_0", "grouped"
    ),
    Fault(
        "scaled",
        values(EMBEDDING, lambda rows: rows * np.float32(8)),
        EMBEDDING,
        "scaled",
        "by 8, the root of the hidden size 64",
    ),
    Fault(
        "halved", values(UP, lambda rows: rows / np.float32(2)), UP, "scaled", "by 0.5"
    ),
    Fault("exchanged", _exchanged, GATE, "swapped", UP),
    Fault(
        "bias-dropped",
        lambda draft: draft.with_tensor(BIAS, None),
        BIAS,
        "bias",
        "has none",
    ),
    Fault("bias-zero", values(BIAS, np.zeros_like), BIAS, "bias", "every value is 0"),
    Fault("ones", values(GATE, np.ones_like), GATE, "constant", "every value is 1"),
    Fault("not-finite", values(GATE, _nan), GATE, "not finite", "1 of"),
    Fault("bit-rot", values(GATE, _nudged), GATE, "values", "the first at [5, 3]"),
    Fault("vocabulary", _other_tokens, "tokenizer", "tokenizer", "from token"),
    Fault(
        "template",
        _tokenizer(chat_template="{{ messages }}"),
        "chat template",
        "chat template",
        "became",
    ),
    Fault("theta", _config(rope_theta=5000.0), "rope_theta", "config", "5000"),
    Fault("epsilon", _config(norm_eps=1e-6), "norm_eps", "config", "1e-06"),
    Fault("factors", _unscaled, "rope_scaling", "rope factors", "llama3", SCALED),
)
EVERYWHERE = [
    pytest.param(fault, suffix, id=f"{fault}{suffix or '-folder'}")
    for fault in FAULTS
    for suffix in (".gguf", ".apr", "")
]


LEFT_OUT = {
    *("permuted", "tied", "offset", "bias", "constant", "swapped", "experts"),
    "rope factors",
}
"""The causes of `tests.judges.mistakes`."""

QUICK = ("llama-spm", "mixtral", "phi3", "phi3-long")
"""Families with small vocabularies."""


def _quick(cases: Sequence[Any]) -> list[Any]:
    """Return cases as parameters; those of other families are marked as slow."""
    return [
        pytest.param(
            case,
            marks=[pytest.mark.slow] * (getattr(case, "family", case) not in QUICK),
        )
        for case in cases
    ]


@pytest.mark.parametrize(("fault", "suffix"), EVERYWHERE)
def test_a_mistake_is_named(fault: Fault, suffix: str, tmp_path: Path) -> None:
    source = fault.source(tmp_path)
    target = written(source, tmp_path / f"wrong{suffix}", fault.change)

    found = aprhub.verify(source, target)

    first = found.findings[0]
    assert (first.subject, first.cause) == (fault.subject, fault.cause), found.findings
    assert fault.detail in first.detail


@pytest.mark.parametrize("mistake", _quick(IN_GGUF), ids=str)
def test_a_transform_left_out_of_a_gguf_is_named(
    mistake: Mistake, tmp_path: Path
) -> None:
    right = written(pico(mistake.family), tmp_path / "right.gguf")
    wrong = made_in_gguf(mistake, right, tmp_path / "wrong.gguf")

    found = aprhub.verify(pico(mistake.family), wrong)

    assert {each.cause for each in found.findings} <= LEFT_OUT
    assert found.findings


@pytest.mark.parametrize("mistake", _quick(IN_HF), ids=str)
def test_a_transform_left_out_of_a_folder_is_named(
    mistake: Mistake, tmp_path: Path
) -> None:
    source = written(pico(mistake.family), tmp_path / "source.gguf")
    # Not the first folder: GGUF rounds norms that one is added to.
    right = written(source, tmp_path / "right")
    wrong = made_in_hf(mistake, right, tmp_path / "wrong")

    found = aprhub.verify(source, wrong)

    assert {each.cause for each in found.findings} <= LEFT_OUT
    assert found.findings


@pytest.mark.parametrize("family", _quick(FAMILIES))
def test_an_honest_conversion_of_a_family_has_no_findings(
    family: str, tmp_path: Path
) -> None:
    road = tmp_path / "a.gguf", tmp_path / "b.apr", tmp_path / "folder"
    for before, after in pairwise((pico(family), *road)):
        convert(before, after, verify=None)

        assert aprhub.verify(before, after).findings == ()
    assert aprhub.verify(tmp_path / "b.apr", tmp_path / "a.gguf").findings == ()


@pytest.mark.parametrize("name", sorted(PICOS))
def test_honest_conversions_of_small_models_have_no_findings(
    name: str, tmp_path: Path
) -> None:
    source = tmp_path / "source.gguf"
    aprhub.save_model(PICOS[name].model(REGISTRY), source, registry=REGISTRY)
    for target in (tmp_path / "m.apr", tmp_path / "m", tmp_path / "m.gguf"):
        convert(source, target, verify=None)
        found = aprhub.verify(source, target)
        assert found.findings == ()
        assert found.lost == ()


@pytest.mark.parametrize("mixture", ["q8_0", "q4_k_m", "q2_k"])
def test_what_is_quantised_is_what_the_codec_makes_of_the_source(
    mixture: str, tmp_path: Path
) -> None:
    source, target = deep.deep("odd"), tmp_path / "q.gguf"
    convert(source, target, quantize=mixture, verify=None)

    found = aprhub.verify(source, target)

    assert found.findings == ()
    assert found.counts().keys() == {"encoded", "equal"}


def _weighed(folder: Path, mixture: str) -> tuple[Path, Path, Path]:
    """Return a model, what it was quantised to, and the importance matrix for it."""
    sources = Sources(folder)
    source, target = sources.of("odd"), folder / "q.gguf"
    options = sources.options("odd", f"{mixture}+imatrix")
    aprhub.convert(source, target, options)
    assert options.imatrix
    return source, target, options.imatrix


@pytest.mark.parametrize("mixture", ["q4_0", "q4_k_m"])
def test_another_encoder_is_judged_by_the_bound(mixture: str, tmp_path: Path) -> None:
    source, target, matrix = _weighed(tmp_path, mixture)

    without = aprhub.verify(source, target)
    known = aprhub.verify(source, target, aprhub.VerifyOptions(imatrix=matrix))

    assert without.findings == known.findings == ()
    assert "bounded" in without.counts()
    assert "bounded" not in known.counts()
    detail = next(each.detail for each in without.tensors if each.outcome == "bounded")
    assert "allowed" in detail


@pytest.mark.parametrize("mixture", ["q8_0", "q4_k_m"])
@pytest.mark.parametrize(
    ("change", "cause"),
    [(lambda rows: rows[::-1], "permuted"), (lambda rows: rows * 2, "scaled")],
)
def test_a_mistake_is_named_in_what_is_quantised(
    change: Callable[[Array], Array], cause: str, mixture: str, tmp_path: Path
) -> None:
    def plant(draft: Draft) -> StoredModel:
        encoding = draft.tensor(GATE).encoding
        wrong = Tensor.of(np.ascontiguousarray(change(draft.tensor(GATE).numpy())))
        again = Encoders(REGISTRY).encoded(wrong, encoding)
        return draft.with_tensor(GATE, again)

    source = deep.deep("grouped")
    target = written(source, tmp_path / "q.gguf", plant, mixture)

    (found,) = aprhub.verify(source, target).findings

    assert (found.subject, found.cause) == (GATE, cause)


def test_blocks_that_were_in_other_blocks_before_are_named(tmp_path: Path) -> None:
    def plant(draft: Draft) -> StoredModel:
        codecs, weight = Encoders(REGISTRY), aprhub.open_model(source).tensors[GATE]
        between = codecs.encoded(weight, ENCODINGS["q8_0"])
        assert between
        encoding = draft.tensor(GATE).encoding
        return draft.with_tensor(GATE, codecs.encoded(between, encoding))

    source = deep.deep("grouped")
    target = written(source, tmp_path / "q.gguf", plant, "q4_k_m")

    (found,) = aprhub.verify(source, target).findings

    assert str(found) == f"{GATE}: requantised (by way of q8_0)"


@pytest.mark.parametrize(
    ("asked", "outcome"), [("f16", "rounded"), (None, "cast"), ("bf16", "cast")]
)
def test_a_cast_is_a_mistake_unless_it_was_asked_for(
    asked: str | None, outcome: str, tmp_path: Path
) -> None:
    convert(pico("llama-spm"), tmp_path / "m.gguf", dtype="f16", verify=None)

    options = aprhub.VerifyOptions(dtype=asked)
    found = aprhub.verify(pico("llama-spm"), tmp_path / "m.gguf", options)

    assert found.counts()[outcome] > 10
    assert found.is_faithful == (outcome == "rounded")


def test_names_and_bytes_are_levels_of_their_own(tmp_path: Path) -> None:
    source = pico("llama-spm")
    wrong = written(source, tmp_path / "wrong.gguf", values(GATE, _nudged))
    narrow = written(source, tmp_path / "narrow.gguf", _narrowed)

    by_names = aprhub.verify(source, wrong, aprhub.VerifyOptions(level="names"))
    by_bytes = aprhub.verify(source, narrow, aprhub.VerifyOptions(level="bytes"))

    assert by_names.counts().keys() == {"named"}
    assert by_names.is_faithful
    assert [each.cause for each in by_bytes.findings] == ["cast"]


def test_the_command_prints_a_verdict_and_its_exit_code_tells_it(
    tmp_path: Path,
) -> None:
    source = pico("llama-spm")
    right = written(source, tmp_path / "right.gguf")
    wrong = written(source, tmp_path / "wrong.gguf", _rows_reordered)

    honest = succeed("verify", source, right).out
    faulty = run("verify", source, wrong)
    as_json = run("verify", source, wrong, "--json")

    assert "29 tensors: 29 equal" in honest
    assert honest.endswith("  faithful\n")
    assert faulty.code == as_json.code == 1
    assert f"not faithful: {QUERY}: permuted (4 heads of 24 rows" in faulty.out
    assert as_json.json["faithful"] is False
    assert run("verify", source, wrong, "--level", "names").code == 0
    assert as_json.json["findings"][0]["cause"] == "permuted"
    assert len(as_json.json["tensors"]) == 29


def test_a_model_that_is_none_of_the_family_is_unreadable(tmp_path: Path) -> None:
    def strange(draft: Draft) -> StoredModel:
        tensors = {**draft.stored.tensors, "blk.0.strange": draft.tensor("norm.weight")}
        return evolve(draft.stored, tensors=tensors)

    wrong = written(pico("llama-spm"), tmp_path / "wrong.gguf", strange)

    (found,) = aprhub.verify(pico("llama-spm"), wrong).findings

    assert (found.subject, found.cause) == ("blk.0.strange", "unreadable")


def test_metadata_that_is_lost_is_told_and_no_mistake(tmp_path: Path) -> None:
    def forget(draft: Draft) -> StoredModel:
        return evolve(draft.stored, carried={})

    poor = written(pico("llama-spm"), tmp_path / "poor.gguf", forget)

    found = aprhub.verify(pico("llama-spm"), poor)

    assert found.is_faithful
    assert any(key.startswith("hf: ") for key in found.lost)
