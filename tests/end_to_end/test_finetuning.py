"""`aprhub finetune`, from conversations to checkpoints that other programs run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import aprhub
from aprhub import open_model, save_model
from aprhub.api import AprhubError
from aprhub.pretraining.presets import preset
from aprhub.pretraining.sizes import refuse_other_size, sizes_of
from tests.end_to_end.roads import TOLERANCE, convert, own_logits
from tests.end_to_end.test_pretraining import (
    await_step,
    last,
    losses,
    measured,
)
from tests.end_to_end.tuning import base, tuned, write_sums
from tests.judges import hf
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.unit import toys
from tests.unit.cli.program import refused, run, succeed
from tests.unit.corpus.texts import lines

HEADER = (
    "hidden=64 layers=2 heads=4 kv_heads=2 vocab=2000 parameters=336704 trained=336704"
    " device=cpu"
)

ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with conversations, a text, and a trained model."""
    place = tmp_path_factory.mktemp("finetuning")
    write_sums(place)
    done = succeed(*tuned(place, "run", "-o", place / "best.gguf"))
    (place / "printed").write_text(done.out)
    return place


def test_a_run_prints_the_sizes_of_the_model_before_it_begins(place: Path) -> None:
    found, printed = measured(place / "run"), (place / "printed").read_text()

    assert printed.splitlines()[:2] == [
        HEADER,
        f"step 0/20  validation loss {found[0]:.4f}",
    ]
    assert found[20] < found[10] < found[0] - 1


def test_a_checkpoint_says_how_it_was_tuned(place: Path) -> None:
    model = open_model(last(place))
    step = model.provenance.lineage[-1]

    assert step.operation == "finetune"
    assert step.options["task"] == "instruct"
    assert step.options["val_loss"] == measured(place / "run")[20]
    assert step.inputs.keys() == {base().name}
    assert model.tokenizer is not None
    assert model.tokenizer.chat_template is not None
    assert model.provenance.data_source == "sums.jsonl"


def test_a_checkpoint_computes_the_same_in_other_programs(
    place: Path, tmp_path: Path
) -> None:
    ids = list(range(3, 1900, 60))
    expected = own_logits(last(place), ids)

    convert(last(place), tmp_path / "folder")

    with Llama.load(place / "best.gguf") as llama:
        assert agreement(llama.logits(ids), expected).within(TOLERANCE)
    assert agreement(hf.logits(tmp_path / "folder", ids), expected).within(1e-5)


def test_a_checkpoint_passes_the_gates_of_qa(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(last(place), tmp_path / "m.apr")
    monkeypatch.chdir(tmp_path)

    # It knows sums, and no English.
    done = succeed(
        *("qa", "m.apr", "--against", place / "best.gguf", "--skip-golden-output"),
        *("--min-executed", 7),
    )

    assert done.out.count("PASS") == 7


def test_the_best_model_is_what_is_written(place: Path) -> None:
    printed = (place / "printed").read_text()
    assert printed.splitlines()[-1] == f"output: {place / 'best.gguf'}"
    best = {"best.gguf": open_model(place / "best.gguf"), "20": open_model(last(place))}

    left, right = (model.tensors for model in best.values())
    assert left.keys() == right.keys()
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_a_run_that_was_killed_goes_on_to_the_bit(place: Path) -> None:
    words = tuned(place, "killed", "--steps-per-epoch", 4)
    process = subprocess.Popen(
        [sys.executable, "-m", "aprhub", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    await_step(place / "killed", 6)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)

    assert 6 <= len(losses(place / "killed")) < 20
    succeed(*words, "--resume")
    assert losses(place / "killed") == losses(place / "run")
    assert measured(place / "killed")[20] == measured(place / "run")[20]


def test_a_loss_on_answers_is_compared_with_answers_only(place: Path) -> None:
    answers = succeed(
        *tuned(place, "again", "--num-steps", 0, start=last(place)), "--json"
    ).json
    text = ("--task", "text", "--data", place / "texts.jsonl", "--num-steps", 0)
    texts = succeed(*tuned(place, "text", *text, start=last(place)), "--json").json

    assert answers["recorded_loss"] == measured(place / "run")[20]
    assert answers["first_loss"] == pytest.approx(answers["recorded_loss"], abs=1e-6)
    assert texts["recorded_loss"] is None
    assert texts["sizes"]["layers"] == 2


def test_text_is_learnt_too_and_kept_in_any_format(place: Path) -> None:
    words = ("--task", "text", "--data", place / "texts.jsonl", "--format", "gguf")

    found = succeed(*tuned(place, "texts", *words), "--json").json

    assert found["val_loss"] < found["first_loss"] - 1
    step = open_model(found["checkpoint"]).provenance.lineage[-1]
    assert (step.operation, step.options["task"]) == ("finetune", "text")


def test_python_runs_the_same(place: Path) -> None:
    sizes: list[Mapping[str, Any]] = []
    options = aprhub.FinetuneOptions(
        (place / "sums.jsonl",),
        place / "python",
        aprhub.Course(num_steps=1, batch_size=4, device="cpu"),
        init=base(),
        seq_len=48,
        validation_fraction=0.2,
        cache=place / "cache",
    )
    found = aprhub.finetune(options, begins=sizes.append)

    assert found.first_loss == measured(place / "run")[0]
    assert sizes == [found.sizes]
    assert sizes[0]["kv_heads"] == 2


@pytest.mark.parametrize("choice", ["drop", "cut"])
def test_conversations_that_are_too_long_are_told(choice: str, place: Path) -> None:
    longest = {"prompt": "Count!", "completion": " ".join(map(str, range(99)))}
    text = (place / "sums.jsonl").read_text("utf-8")
    data = place / f"{choice}.jsonl"
    data.write_text(f"{text}{json.dumps(longest)}\n", "utf-8")
    words = ("--data", data, "--too-long", choice, "--num-steps", 0)

    found = succeed(*tuned(place, choice, *words), "--json").json

    done = {"drop": "dropped", "cut": "cut"}[choice]
    assert found["notes"] == [
        f"1 conversations were {done}: they are longer than a sequence"
    ]


def test_steps_without_data_are_refused_before_the_first(place: Path) -> None:
    complaint = refused(2, *tuned(place, "short", "--epochs", 1, "--batch-size", 8))

    assert "GATE-CORPUS-PREFLIGHT: 20 steps are" in complaint
    assert "say --epochs 2, or --num-steps 11" in complaint


TOOL = {"role": "tool", "content": "5"}
ASKED = {"role": "user", "content": "2 plus 3?"}


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([ASKED], "no message is an assistant's: nothing can be learnt"),
        ([ASKED, {"role": "assistant"}], "no key 'content'"),
        (
            [ASKED, TOOL, {"role": "assistant", "content": "5"}],
            "the model's chat template refuses it: roles must alternate",
        ),
    ],
)
def test_a_conversation_that_teaches_nothing_is_named(
    messages: list[dict[str, str]], what: str, place: Path, tmp_path: Path
) -> None:
    base = templated(tmp_path / "base.apr", ALTERNATE)
    data = lines(tmp_path / "bad.jsonl", [{"messages": messages}])

    complaint = refused(3, *tuned(place, "bad", "--data", data, start=base))

    assert f"{data}: line 1: " in complaint
    assert what in complaint


def templated(path: Path, template: str | None) -> Path:
    """Save the model with another chat template."""
    model = open_model(base())
    assert model.tokenizer is not None
    tokenizer = evolve(model.tokenizer, chat_template=template)
    save_model(evolve(model, tokenizer=tokenizer), path)
    return path


def test_a_model_without_a_chat_template_learns_no_answers(
    place: Path, tmp_path: Path
) -> None:
    base = templated(tmp_path / "base.apr", None)

    complaint = refused(1, *tuned(place, "untaught", start=base))

    assert "the model has no chat template; give it one" in complaint


def test_sizes_that_contradict_the_tensors_are_refused_by_name(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(base(), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(
        json.dumps({**config, "intermediate_size": 120})
    )

    complaint = refused(1, *tuned(place, "misshapen", start=tmp_path / "m"))

    assert "FALSIFY-APR-PRETRAIN-INIT-007" in complaint
    assert "layers.0.ffn.up.weight: has shape (112, 64), expected (120, 64)" in (
        complaint
    )


def test_the_file_says_what_a_model_is_and_no_word_beside_it(place: Path) -> None:
    other = refused(1, *tuned(place, "sized", "--model-size", "smollm2-135m"))
    nobody = refused(2, *tuned(place, "sized", "--model-size", "8B"))

    assert "the file has hidden=64 layers=2 heads=4 kv_heads=2 vocab=2000" in other
    assert "smollm2-135m is hidden=576 layers=30 heads=9 kv_heads=3" in other
    assert "no size of a llama model is called '8B'" in nobody
    assert "give one of llama-370m, smollm2-135m" in nobody
    assert not (place / "sized").exists()


@pytest.mark.parametrize("word", ["qwen3-8b", "8B"])
def test_a_model_of_the_size_that_is_said_is_trained(word: str) -> None:
    config = preset("qwen3-8b", toys.INSTALLED)

    refuse_other_size(word, config, toys.INSTALLED)

    assert sizes_of(config) == {
        **{"hidden": 4096, "layers": 36, "heads": 32, "kv_heads": 8},
        "vocab": 151936,
    }
    with pytest.raises(AprhubError, match=r"the file has hidden=4096 layers=2 "):
        refuse_other_size(word, evolve(config, num_layers=2), toys.INSTALLED)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("-o", "best.gguf"), "best.gguf"),
        (("-o", "model.zip"), "extension"),
        (("--device", "cuda:15"), "FALSIFY-APR-PRETRAIN-INIT-CUDA-001"),
        (("--seq-len", 1024), "the model is made for 512 tokens, not for 1024"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    words: tuple[object, ...],
    what: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)

    done = run(*tuned(place, "refused", *words))

    assert done.code in (2, 3)
    assert what in done.err
    assert not (place / "refused" / "checkpoints").exists()
