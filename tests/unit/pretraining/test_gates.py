"""What a start has to pass; nothing here needs torch."""

from pathlib import Path
from typing import Any

import pytest

from aprhub.api import (
    Identity,
    LineageStep,
    ModelCheckError,
    ModelConfig,
    Provenance,
    StoredModel,
)
from aprhub.errors import IdentityError
from aprhub.finetuning.options import FinetuneOptions
from aprhub.pretraining.gates import (
    recorded_loss,
    refuse_encoder,
    refuse_loss,
    refuse_mismatch,
    refuse_vocabulary,
)
from aprhub.pretraining.options import PretrainOptions
from aprhub.testing.models import PICOS
from aprhub.testing.tokenizer import pico_tokenizer
from tests.unit import toys

ENCODERS = (
    *("BertModel", "RobertaModel", "RobertaForMaskedLM", "XLMRobertaModel"),
    *("DistilBertForSequenceClassification", "DebertaV2Model", "MPNetModel"),
)
DECODERS = (
    *("LlamaForCausalLM", "Qwen2ForCausalLM", "Gemma3ForCausalLM", "MistralModel"),
    *("Ernie4_5ForCausalLM", "Phi3ForCausalLM", "MixtralForCausalLM"),
)


def asked(**chosen: Any) -> PretrainOptions:
    return PretrainOptions((Path("text"),), Path("run"), init=Path("m"), **chosen)


def claiming(**claims: Any) -> StoredModel:
    config = ModelConfig(identity=Identity(**claims))
    return StoredModel("apr", Path("m.apr"), {}, config)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_refused_with_four_facts(name: str) -> None:
    with pytest.raises(IdentityError) as caught:
        refuse_encoder(claiming(hf_class=name))

    said = str(caught.value)
    for fact in ("FALSIFY-APR-PRETRAIN-ARCH-007", "Encoder", "decoder-only", name):
        assert fact in said


@pytest.mark.parametrize("slug", ["bert", "nomic-bert", "modern-bert", "jina-bert-v2"])
def test_an_encoder_is_known_by_what_ggml_calls_it(slug: str) -> None:
    with pytest.raises(IdentityError, match=f"{slug} is an Encoder"):
        refuse_encoder(claiming(architecture=slug))


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_is_no_encoder(name: str) -> None:
    refuse_encoder(claiming(hf_class=name))


CLAIMS = {
    "llama": {"hf_class": "LlamaForCausalLM", "architecture": "llama"},
    "qwen2": {"hf_class": "Qwen2ForCausalLM", "architecture": "qwen2"},
}


def held(family: str, naming: str = "hf", **claims: str) -> StoredModel:
    """Return the tensors of one family, with claims of what they are."""
    return toys.stored(PICOS[family].model(toys.INSTALLED), naming, **claims)


@pytest.mark.parametrize(("claim", "family"), [("llama", "qwen2"), ("qwen2", "llama")])
def test_a_claim_against_all_evidence_is_refused(claim: str, family: str) -> None:
    with pytest.raises(IdentityError) as caught:
        refuse_mismatch(held(family, **CLAIMS[claim]), toys.INSTALLED, asked())

    said = str(caught.value)
    assert "INV-INIT-ARCH-MATCH-001" in said
    assert f"its tensors are those of {family}" in said
    assert f"aprhub convert model.toy model-{family}.toy --family {family}\n" in said
    assert f"aprhub pretrain --init model-{family}.toy" in said


def test_the_repair_ends_with_the_command_that_was_refused() -> None:
    tuned = FinetuneOptions((Path("text"),), Path("run"), init=Path("m"))

    with pytest.raises(IdentityError, match="aprhub finetune model-qwen2"):
        refuse_mismatch(held("qwen2", **CLAIMS["llama"]), toys.INSTALLED, tuned)


@pytest.mark.parametrize("family", sorted(PICOS))
def test_a_claim_that_the_tensors_bear_out_passes(family: str) -> None:
    table = toys.INSTALLED.family(PICOS[family].family)

    refuse_mismatch(held(family, hf_class=table.hf_classes[0]), toys.INSTALLED, asked())


@pytest.mark.parametrize(
    "claims",
    [{}, {"architecture": "WeirdNovelArch"}],
    ids=["no claim", "a claim that nobody knows"],
)
def test_what_claims_nothing_known_is_left_to_other_gates(
    claims: dict[str, str],
) -> None:
    refuse_mismatch(held("qwen2", **claims), toys.INSTALLED, asked())


def test_tensors_of_no_known_family_are_left_to_other_gates() -> None:
    stored = toys.less(held("qwen2", **CLAIMS["llama"]), "model.norm.weight")

    refuse_mismatch(stored, toys.INSTALLED, asked())


def test_what_the_user_says_is_a_claim_too() -> None:
    with pytest.raises(IdentityError, match="INV-INIT-ARCH-MATCH-001"):
        refuse_mismatch(held("qwen2"), toys.INSTALLED, asked(family="llama"))


@pytest.mark.parametrize(
    ("rows", "exact", "words"),
    [
        (265, False, ("INV-ARCH-370M-006-RELAXED", "268 tokens", "265 rows", "OOB")),
        (265, True, ("GATE-ARCH-370M-011", "268 tokens", "265 rows", "OOB")),
        (
            50257,
            True,
            ("GATE-ARCH-370M-011", "268 tokens", "50257", "--vocab-size 268"),
        ),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    rows: int, exact: bool, words: tuple[str, ...]
) -> None:
    with pytest.raises(ModelCheckError) as caught:
        refuse_vocabulary(pico_tokenizer(), rows, exact=exact)

    assert [word for word in words if word not in str(caught.value)] == []


def test_a_checkpoint_may_have_spare_rows() -> None:
    refuse_vocabulary(pico_tokenizer(), 288, exact=False)
    refuse_vocabulary(pico_tokenizer(), 268, exact=True)


STEPS: dict[str, LineageStep] = {
    "pretrain": LineageStep("pretrain", {}, {"val_loss": 4.62}),
    "chats": LineageStep("finetune", {}, {"val_loss": 1.5, "task": "instruct"}),
    "texts": LineageStep("finetune", {}, {"val_loss": 4.5, "task": "text"}),
}


def recorded(*names: str, learns: str = "text") -> float | None:
    steps = (STEPS.get(name, LineageStep(name, {})) for name in names)
    return recorded_loss(Provenance(lineage=tuple(steps)), learns)


def test_a_recorded_loss_holds_until_the_weights_become_others() -> None:
    assert recorded("pretrain") == 4.62
    assert recorded("merge", "pretrain", "convert", "stamp") == 4.62
    assert recorded("pretrain", "merge") is None
    assert recorded("convert") is None
    assert recorded() is None


def test_a_recorded_loss_is_that_of_what_is_learnt() -> None:
    assert recorded("pretrain", "texts") == 4.5
    assert recorded("pretrain", "chats") is None
    assert recorded("pretrain", learns="instruct") is None
    assert recorded("pretrain", "chats", learns="instruct") == 1.5
    assert recorded("chats", "texts", learns="instruct") is None


def test_a_start_much_worse_than_its_checkpoint_says_is_refused() -> None:
    with pytest.raises(ModelCheckError, match=r"8\.6000, the checkpoint records 4\.62"):
        refuse_loss(4.62, 8.60, accepted=False)

    refuse_loss(4.62, 8.60, accepted=True)
    refuse_loss(4.62, 4.70, accepted=False)
    refuse_loss(None, 8.60, accepted=False)
