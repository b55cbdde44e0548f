"""`aprhub finetune` of an adapter, from conversations to what other programs run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file

import aprhub
from aprhub import Tensor, open_model, save_model
from aprhub.low_rank import LowRankOptions
from tests.end_to_end.roads import TOLERANCE, own_logits
from tests.end_to_end.test_pretraining import losses, measured
from tests.end_to_end.tuning import base, tuned, write_sums
from tests.judges import peft
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.unit.cli.program import refused, run, succeed

IDS = list(range(3, 1900, 60))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with conversations and a trained adapter."""
    place = tmp_path_factory.mktemp("adapters")
    write_sums(place)
    succeed(*adapted(place, "run", "--merge", "-o", place / "merged.gguf"))
    return place


def adapted(place: Path, name: str, *more: object) -> list[object]:
    chosen = ("--method", "lora", "--rank", 4, "--lr", 1e-2)
    said = {str(word) for word in more}
    pairs = zip(chosen[::2], chosen[1::2], strict=True)
    words = [word for pair in pairs if str(pair[0]) not in said for word in pair]
    return tuned(place, name, *words, *more)


def adapter(place: Path, name: str = "run") -> Path:
    return place / name / "checkpoints" / "step-000020"


def test_peft_computes_what_the_base_with_its_adapter_merged_computes(
    place: Path,
) -> None:
    found = measured(place / "run")
    judged = peft.judged(base(), adapter(place), IDS)

    merged = own_logits(place / "merged.gguf", IDS)

    assert found[20] < found[10] < found[0] - 1
    assert agreement(merged, judged.logits).within(1e-4)
    with Llama.load(place / "merged.gguf") as llama:
        assert agreement(llama.logits(IDS), judged.logits).within(TOLERANCE)
    assert open_model(place / "merged.gguf").provenance.lineage[-1].operation == (
        "adapter merge"
    )


def test_only_pairs_are_trained_and_kept_to_go_on_from(place: Path) -> None:
    words = ("--target-modules", "attn.q,attn.v", "--num-steps", 1, "--rslora")

    found = succeed(*adapted(place, "few", *words), "--json").json

    # Two layers; 64 wide, queries 96, values 48; rank 4.
    assert found["sizes"]["trained"] == 2 * 4 * (64 + 96 + 64 + 48)
    assert found["sizes"]["parameters"] == 336704
    held = load_file(place / "few" / "state.safetensors")
    assert len(held) == 2 * 2 * 2 * 3
    assert all(name.endswith(("lora_a", "lora_b")) for name in held)


def once(step: int) -> Callable[[], str | None]:
    """Return what ends a run after a step."""
    asked = iter(range(1, step + 1))
    return lambda: "enough" if next(asked) == step else None


@pytest.mark.parametrize("quantized", [False, True], ids=["lora", "qlora"])
def test_a_run_that_was_ended_goes_on_to_the_bit(
    quantized: bool, place: Path, tmp_path: Path
) -> None:
    def asked(name: str, *, resume: bool = False) -> aprhub.FinetuneOptions:
        return aprhub.FinetuneOptions(
            (place / "sums.jsonl",),
            tmp_path / name,
            aprhub.Course(num_steps=9, batch_size=4, lr=1e-2, device="cpu"),
            init=base(),
            seq_len=48,
            cache=place / "cache",
            low_rank=LowRankOptions(rank=2, quantized=quantized),
            resume=resume,
        )

    whole = aprhub.finetune(asked("whole"))
    half = aprhub.finetune(asked("half"), interrupted=once(4))
    again = aprhub.finetune(asked("half", resume=True))

    assert (half.step, half.reason) == (4, "enough")
    assert losses(tmp_path / "half") == losses(tmp_path / "whole")
    assert again.val_loss == whole.val_loss


def test_four_bits_train_and_the_adapter_goes_where_its_name_says(
    place: Path, tmp_path: Path
) -> None:
    # The flags of the reference, by its names.
    words = (
        *("--method", "qlora", "--quantize-nf4", "--rank", 4, "--task", "instruct"),
        *("--output", tmp_path / "adapter.apr", "--verbose", "--layout", "entrenar"),
    )

    done = succeed(*adapted(place, "four-bits", *words))

    assert sum(line.startswith("step 7/20  loss") for line in done.out.split("\n")) == 1
    found = measured(place / "four-bits")
    assert found[20] < found[10] < found[0] - 1
    told = sorted(each.name for each in adapter(place, "four-bits").iterdir())
    assert told == ["metadata.json", "model.safetensors"]
    one = merged(adapter(place, "four-bits"), tmp_path / "one.apr")
    other = merged(tmp_path / "adapter.apr", tmp_path / "other.apr")
    assert agreement(own_logits(one, IDS), own_logits(other, IDS)).within(1e-5)


def merged(adapter: Path, target: Path) -> Path:
    """Merge an adapter into the base."""
    succeed("adapter", "merge", base(), adapter, "-o", target)
    return target


def test_a_run_goes_on_with_its_own_pairs_and_weights(
    place: Path, tmp_path: Path
) -> None:
    model = open_model(base())
    moved = Tensor.of(model.tensors["norm.weight"].numpy() * 2)
    tensors = {**model.tensors, "norm.weight": moved}
    save_model(evolve(model, tensors=tensors), tmp_path / "other")
    words = adapted(place, "run", "--resume")

    pairs = refused(2, *adapted(place, "run", "--rank", 8, "--resume"))
    weights = refused(2, words[0], tmp_path / "other", *words[2:])

    assert "its rank was 4, now it is 8" in pairs
    assert "its base was" in weights
    succeed(*words)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--method", "full"), "--rank belongs to --method lora or qlora"),
        (("--merge",), "merging needs an adapter to train, and an output to write"),
        (("--target-modules", "attn.z"), "no weight has the role 'attn.z'"),
        (("--format", "gguf"), "--format belongs to --method full"),
        (("--data-license", "MIT"), "--data-license belongs to --method full"),
        (("--layout", "pefd"), "no adapter layout is called 'pefd'; did you mean"),
        (("--rank", 0), "0 is not in the range x>=1"),
        (("--alpha", -1), "alpha is -1.0; give a positive number"),
        (("--text-key", "said"), "--text-key belongs to --task text"),
        (("--task", "text", "--packed"), "--packed belongs to --task instruct"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[object, ...], what: str, place: Path
) -> None:
    done = run(*adapted(place, "refused", *words))

    assert done.code == 2
    assert what in done.err
    assert not (place / "refused" / "checkpoints").exists()


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_base_with_values_that_are_no_numbers_is_refused_by_their_tensor(
    method: str, place: Path, tmp_path: Path
) -> None:
    name = "layers.1.attn.k.weight"
    model = open_model(base())
    broken = model.tensors[name].numpy().copy()
    broken[5, 3] = np.nan
    tensors = {**model.tensors, name: Tensor.of(broken)}
    save_model(evolve(model, tensors=tensors), tmp_path / "m.apr")
    words = adapted(place, f"numbers-{method}", "--method", method)

    done = run(words[0], tmp_path / "m.apr", *words[2:])

    assert done.code == 1
    assert f"{name}: NaN or infinite values" in done.err
