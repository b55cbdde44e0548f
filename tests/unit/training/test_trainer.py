"""One step, and what must not change it."""

import math

import numpy as np
import pytest
import torch
from attrs import evolve

from aprhub import Tensor
from aprhub.api import EnvironmentFailureError, ModelCheckError
from aprhub.corpus import Sequences
from aprhub.corpus.shards import LEARNT
from aprhub.place import Place
from aprhub.training.devices import device_of
from aprhub.training.optimizer import optimizer_of
from aprhub.training.trainer import Trainer
from aprhub.training.work import work_per_token
from tests.unit.training.toy import LENGTH, ROWS, course, losses, model, trainer


def test_a_model_learns() -> None:
    found = losses(trainer(), 8)

    assert found[0] == pytest.approx(math.log(ROWS), abs=0.1)
    assert found[-1] < found[0] - 0.2


def test_a_seed_gives_the_same_losses_and_another_does_not() -> None:
    found = losses(trainer(), 3)

    assert losses(trainer(), 3) == found
    assert losses(trainer(course(seed=7)), 3) != found
    assert losses(trainer(given=model(seed=2)), 1) != found[:1]


@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral"])
def test_layers_that_are_computed_twice_give_the_same_losses(family: str) -> None:
    twice = course(activation_checkpointing=True)

    assert losses(trainer(twice, model(family)), 2) == losses(
        trainer(given=model(family)), 2
    )


def test_a_step_in_parts_is_the_step() -> None:
    parts = losses(trainer(course(accumulate=4)), 3)

    assert parts == pytest.approx(losses(trainer(), 3), rel=1e-4)


def test_products_in_bf16_come_close() -> None:
    found, plain = losses(trainer(course(precision="bf16")), 3), losses(trainer(), 3)

    assert found != plain
    assert found == pytest.approx(plain, rel=2e-2)


def test_only_matrices_decay() -> None:
    found = trainer(course(lr=1e-2, weight_decay=0.5, warmup_steps=0))
    matrices, vectors = found.optimizer.param_groups

    assert matrices["weight_decay"] == 0.5
    assert {each.ndim for each in matrices["params"]} == {2}
    assert vectors["weight_decay"] == 0
    assert {each.ndim for each in vectors["params"]} == {1}


def test_a_gradient_is_clipped_to_its_norm() -> None:
    found = trainer(course(clip=1e-3))
    norms: list[torch.Tensor] = []
    found.optimizer.register_step_pre_hook(
        lambda *_: norms.extend(
            p.grad.norm() for p in found.decoder.parameters() if p.grad is not None
        )
    )
    done = found.step(0)

    assert done.grad_norm > 1e-2
    assert torch.stack(norms).norm().item() == pytest.approx(1e-3, rel=1e-3)


def answered(padding: int) -> Sequences:
    """Return rows of a question, an answer that is to be learnt, and padding."""
    rows = np.arange(8 * (LENGTH + 1), dtype=np.uint32).reshape(8, -1) * 7 % ROWS
    rows[:, 9:] = padding
    rows[:, 5:9] |= LEARNT
    return Sequences(rows.ravel(), LENGTH, marked=True)


def taught(found: Trainer, text: Sequences) -> list[torch.Tensor]:
    """Return the gradients of a step on a text, as it is about to be made."""
    found = evolve(found, batches=text.batches(8, 1))
    gradients: list[torch.Tensor] = []
    found.optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(
            p.grad.clone() for p in found.decoder.parameters() if p.grad is not None
        )
    )
    found.step(0)
    return gradients


def test_only_answers_are_learnt() -> None:
    found, judge = trainer(course(clip=1e9)), trainer()
    text = answered(padding=3)
    batch = text.batches(8, 1).batch(0)

    gradients = taught(found, text)

    # A place foretells the token after it: 4 to 7 those of the answer, 5 to 8.
    logits = judge.decoder(torch.from_numpy(batch.inputs))[:, 4:8]
    answers = torch.from_numpy(batch.inputs)[:, 5:9]
    chances = logits.log_softmax(-1).gather(-1, answers.unsqueeze(-1))
    (-chances.mean()).backward()
    expected = [each.grad for each in judge.decoder.parameters()]
    for one, other in zip(gradients, expected, strict=True):
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_what_is_neither_asked_nor_answered_changes_no_gradient() -> None:
    one, other = (taught(trainer(), answered(padding)) for padding in (3, 5))

    assert all(map(torch.equal, one, other))


def test_only_what_is_trained_changes() -> None:
    found = trainer()
    found.decoder.requires_grad_(False)
    name = "layers.0.attn.q.weight"
    found.decoder.get_parameter(name).requires_grad_(True)
    found = evolve(found, optimizer=optimizer_of(found.decoder, found.course))
    before = {n: p.clone() for n, p in found.decoder.named_parameters()}

    found.step(0)

    after = dict(found.decoder.named_parameters())
    assert [n for n in before if not torch.equal(before[n], after[n])] == [name]


def test_a_loss_that_is_no_number_changes_no_weight() -> None:
    start = model()
    name = "layers.0.ffn.up.weight"
    broken = np.full(start.tensors[name].shape, np.nan, np.float32)
    start = evolve(start, tensors={**start.tensors, name: Tensor.of(broken)})
    found = trainer(given=start)
    before = found.decoder.embed.weight.clone()

    with pytest.raises(ModelCheckError, match="step 0: the loss is nan"):
        found.step(0)

    assert torch.equal(found.decoder.embed.weight, before)
    with pytest.raises(ModelCheckError, match="the weights hold no finite numbers"):
        found.validation_loss()


def test_the_validation_loss_is_the_mean_over_every_token_kept_apart() -> None:
    found = trainer()
    sweep = list(found.validation.sweep(1))
    with torch.no_grad():
        each = [
            torch.nn.functional.cross_entropy(
                found.decoder(torch.from_numpy(batch.inputs))[0],
                torch.from_numpy(batch.targets)[0],
            ).item()
            for batch in sweep
        ]

    assert len(sweep) == 5
    assert found.validation_loss() == pytest.approx(sum(each) / 5, rel=1e-6)


def test_a_gpu_that_is_not_there_is_refused_at_once() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0

    with pytest.raises(
        EnvironmentFailureError, match="FALSIFY-APR-PRETRAIN-INIT-CUDA-001"
    ):
        device_of(f"cuda:{count}")


def test_each_of_several_processes_has_a_gpu_of_its_own() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    place = Place(rank=count, world=count + 2, local_rank=count)

    with pytest.raises(EnvironmentFailureError, match=f"--device cuda:{count}: this"):
        device_of("cuda", place)
    assert device_of("cpu", place) == torch.device("cpu")


def test_work_counts_what_is_multiplied() -> None:
    start = model("mixtral", tie_embeddings=True)
    shapes = {name: each.shape for name, each in start.tensors.items()}
    config = start.config
    attention = 2 * (2 * 64 * 4 * 24 + 2 * 64 * 2 * 24)
    experts = 2 * (64 * 4 + 2 * 3 * 64 * (config.intermediate_size or 0))

    expected = 6 * (288 * 64 + attention + experts) + 12 * 2 * 4 * 24 * LENGTH
    assert work_per_token(shapes, config, LENGTH) == expected
    # What stands still needs no gradient of its own.
    assert work_per_token(shapes, config, LENGTH, {"layers.0.attn.q.weight"}) == (
        expected - 2 * 64 * 4 * 24
    )
