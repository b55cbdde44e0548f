"""`aprhub pretrain`, from files to checkpoints that other programs run."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from gguf import GGUFReader

from aprhub import Tensor, open_model, save_model
from tests.end_to_end.roads import TOLERANCE, convert, own_logits
from tests.judges import hf
from tests.judges.assets import prose
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.judges.pico import pico
from tests.unit.cli.program import Done, refused, run, succeed

CONFIG = """
family = "llama"
hidden_size = 64
num_layers = 2
num_heads = 4
num_kv_heads = 2
intermediate_size = 160
vocab_size = 2000
max_position_embeddings = 256
norm_eps = 1e-5
tie_embeddings = true
"""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with real prose, a configuration, and a trained model."""
    place = tmp_path_factory.mktemp("pretraining")
    prose = "\n\n".join(topics[name] for name in sorted(topics))
    (place / "text.txt").write_text(prose[:100_000], "utf-8")
    (place / "pico.toml").write_text(CONFIG)
    succeed(*from_nothing(place, "run"), "--plot", place / "loss.png")
    return place


def from_nothing(place: Path, name: str, *more: object) -> list[object]:
    start = ("--config", place / "pico.toml", "--tokenizer", pico("llama-spm"))
    rate = () if "--lr" in more else ("--lr", 5e-3)
    return trained(place, name, *start, *rate, *more)


def trained(place: Path, name: str, *more: object) -> list[object]:
    """Return the words of a run of twenty small steps."""
    words = [
        *("pretrain", "--dataset", place / "text.txt", "--run-dir", place / name),
        *("--cache", place / "cache", "--num-steps", 20, "--steps-per-epoch", 10),
        *("--batch-size", 4, "--seq-len", 32, "--epochs", 9, "--device", "cpu"),
        *("--validation-fraction", 0.15),
    ]
    said = {str(word) for word in more}
    pairs = zip(words[1::2], words[2::2], strict=True)
    kept = [word for pair in pairs if str(pair[0]) not in said for word in pair]
    return ["pretrain", *kept, *more]


def events(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses(folder: Path) -> list[float]:
    return [each["loss"] for each in events(folder) if "loss" in each]


def measured(folder: Path) -> Mapping[int, float]:
    return {e["step"]: e["val_loss"] for e in events(folder) if "val_loss" in e}


def last(place: Path, name: str = "run") -> Path:
    return max((place / name / "checkpoints").iterdir())


def test_a_run_leaves_checkpoints_metrics_and_a_plot(place: Path) -> None:
    folder = place / "run"

    assert sorted(each.name for each in folder.iterdir()) == [
        "checkpoints",
        "metrics.jsonl",
        "state.safetensors",
    ]
    names = sorted(each.name for each in (folder / "checkpoints").iterdir())
    assert names == ["step-000010.apr", "step-000020.apr"]
    assert len(losses(folder)) == 20
    found = measured(folder)
    assert list(found) == [0, 10, 20]
    assert found[0] == pytest.approx(np.log(2000), abs=0.15)
    assert found[20] < found[10] < found[0] - 0.3
    assert (place / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_checkpoint_says_all_of_itself(place: Path) -> None:
    found = succeed("inspect", last(place), "--json").json
    model = open_model(last(place))
    step = model.provenance.lineage[-1]

    assert found["family"] == "llama"
    assert model.config.identity.hf_class == "LlamaForCausalLM"
    assert model.tokenizer is not None
    assert model.provenance.data_source == "text.txt"
    assert step.operation == "pretrain"
    assert step.options["step"] == 20
    assert step.options["val_loss"] == measured(place / "run")[20]
    assert step.options["dataset"] == ["text.txt"]
    assert all(len(t.shape) == 2 for n, t in model.tensors.items() if "norm" not in n)


def test_a_checkpoint_computes_the_same_in_other_programs(
    place: Path, tmp_path: Path
) -> None:
    ids = list(range(3, 1900, 60))
    expected = own_logits(last(place), ids)

    convert(last(place), tmp_path / "m.gguf")
    convert(last(place), tmp_path / "folder")

    with Llama.load(tmp_path / "m.gguf") as llama:
        assert agreement(llama.logits(ids), expected).within(TOLERANCE)
    assert agreement(hf.logits(tmp_path / "folder", ids), expected).within(1e-5)


@pytest.mark.parametrize("target", ["m.apr", "m.gguf", "folder"])
def test_a_start_from_each_format_has_the_loss_that_it_records(
    target: str, place: Path, tmp_path: Path
) -> None:
    init = tmp_path / target
    convert(last(place), init)

    found = succeed(
        *trained(place, f"from-{target}", "--init", init, "--num-steps", 0), "--json"
    ).json

    assert found["recorded_loss"] == measured(place / "run")[20]
    assert found["first_loss"] == pytest.approx(found["recorded_loss"], abs=1e-3)
    assert open_model(found["checkpoint"]).tensors.keys() == (
        open_model(init).tensors.keys()
    )


@pytest.mark.slow
def test_a_start_from_a_model_is_better_than_one_from_nothing(
    place: Path, tmp_path: Path
) -> None:
    """By three nats before the first step, and still after two hundred.

    The second text is another part of the prose; both have more than a megabyte.
    """
    text = prose()
    for number in range(2):
        part = text[number * 1_200_000 : (number + 1) * 1_200_000]
        (tmp_path / f"{number}.txt").write_text(part, "utf-8")
    more = ("--batch-size", 8, "--seq-len", 64, "--validation-fraction", 0.1)
    first = (*more, "--dataset", tmp_path / "0.txt", "--num-steps", 400, "--lr", 1e-2)
    then = (*more, "--dataset", tmp_path / "1.txt", "--num-steps", 200)

    init = succeed(*from_nothing(place, "long", *first), "--json").json["checkpoint"]
    nothing = succeed(*from_nothing(place, "200-of-nothing", *then), "--json").json
    start = ("--init", init, "--lr", 1e-3)
    model = succeed(*trained(place, "200-more", *start, *then), "--json").json

    assert nothing["first_loss"] - model["first_loss"] >= 3
    assert model["val_loss"] < nothing["val_loss"]


def test_a_text_of_its_own_can_be_measured_with(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("Jkw, qvxz! " * 500)
    words = ("--val-shard", tmp_path / "other.txt", "--num-steps", 0)

    told = succeed(*trained(place, "apart", "--init", last(place), *words), "--json")

    measured = ("--seq-len", 32, "--json")
    found = succeed("eval", last(place), tmp_path / "other.txt", *measured).json
    assert told.json["first_loss"] == pytest.approx(found["loss"], rel=0.02)
    assert told.json["first_loss"] != pytest.approx(told.json["recorded_loss"], rel=0.1)


def test_no_step_changes_no_weight(place: Path, tmp_path: Path) -> None:
    words = trained(place, "nothing", "--init", last(place), "--num-steps", 0)
    one = succeed(*words, "--json").json["checkpoint"]
    words = trained(place, "nothing-2", "--init", last(place), "--num-steps", 0)
    two = succeed(*words, "--json").json["checkpoint"]

    assert Path(one).read_bytes() == Path(two).read_bytes()
    assert succeed("diff", last(place), one).code == 0


def test_a_model_that_lost_what_it_learnt_is_not_trained(
    place: Path, tmp_path: Path
) -> None:
    model = open_model(last(place))
    spoilt = model.tensors["norm.weight"].numpy() * 400
    tensors = {**model.tensors, "norm.weight": Tensor.of(spoilt)}
    save_model(evolve(model, tensors=tensors), tmp_path / "spoilt.apr")
    words = trained(place, "spoilt", "--init", tmp_path / "spoilt.apr")

    complaint = refused_run(1, *words)

    assert "INV-INIT-LOSS-MATCH-001: the validation loss is" in complaint
    assert not list((place / "spoilt" / "checkpoints").iterdir())
    succeed(*words, "--accept-init-loss", "--num-steps", 1)


def refused_run(code: int, *words: object) -> str:
    """Run a command that fails after it has said something."""
    done = run(*words)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    return done.err


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["norm.weight", "embed.weight"])
def test_weights_that_are_no_numbers_are_refused(
    name: str, value: float, place: Path, tmp_path: Path
) -> None:
    """In the row of a token that the text has not, too, where every loss is finite."""
    model = open_model(last(place))
    broken = model.tensors[name].numpy().copy()
    broken[5] = value
    tensors = {**model.tensors, name: Tensor.of(broken)}
    save_model(evolve(model, tensors=tensors), tmp_path / "m.apr")

    words = trained(place, "numbers", "--init", tmp_path / "m.apr")
    complaint = refused_run(1, *words)

    assert "weights: they hold no finite numbers" in complaint
    assert f"{name}: NaN or infinite values (start from a file" in complaint
    assert f"while working on {tmp_path / 'm.apr'}" in complaint
    assert not (place / "numbers").exists()


def without(folder: Path, name: str) -> None:
    """Take a tensor out of the one file of a folder."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, {"format": "pt"})


def test_a_checkpoint_that_lacks_a_weight_is_refused_by_its_name(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(pico("llama-spm"), tmp_path / "m")
    without(tmp_path / "m", "model.layers.1.mlp.up_proj.weight")

    complaint = refused(1, *trained(place, "lacking", "--init", tmp_path / "m"))

    assert "FALSIFY-APR-PRETRAIN-INIT-007" in complaint
    assert "layers.1.ffn.up.weight: not present in init APR" in complaint


def test_a_wrong_claim_is_refused_with_a_repair_that_works(
    place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a model"
    shutil.copytree(pico("llama-spm"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    (folder / "config.json").write_text(json.dumps(config))
    words = ("--num-steps", 1, "--batch-size", 2)

    complaint = refused(1, *trained(place, "wrong", "--init", folder, *words))

    lines = [shlex.split(each) for each in complaint.splitlines() if each[:1] == " "]
    repair = next(words[1:] for words in lines if words[:2] == ["aprhub", "convert"])
    again = next(words for words in lines if words[:2] == ["aprhub", "pretrain"])
    assert "INV-INIT-ARCH-MATCH-001" in complaint
    succeed(*repair)
    done = succeed(*trained(place, "right", "--init", again[3], *words), "--json")
    assert open_model(done.json["checkpoint"]).config.family == "llama"


def test_a_wrong_claim_is_refused_within_seconds(place: Path, tmp_path: Path) -> None:
    """Five, of the processor's time: other programs may have it as well."""
    folder = tmp_path / "qwen2"
    shutil.copytree(pico("qwen2"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config))
    words = map(str, trained(place, "seconds", "--init", folder))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "aprhub", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert done.returncode == 1
    assert "INV-INIT-ARCH-MATCH-001" in done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
    assert not (place / "seconds").exists()


def test_a_wrong_model_is_refused_before_torch_is_there(
    place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(pico("llama-spm"), folder)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["RobertaModel"], "model_type": "roberta"})
    )
    words = map(str, trained(place, "bert", "--init", folder))
    code = (
        "import sys; from aprhub.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: sys.exit(end.code + 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert "FALSIFY-APR-PRETRAIN-ARCH-007: RobertaModel is an Encoder" in done.stderr


def test_a_quantised_start_is_said(place: Path, tmp_path: Path) -> None:
    succeed("quantize", last(place), tmp_path / "q.gguf", "--type", "q8_0")

    words = trained(place, "quantised", "--init", tmp_path / "q.gguf", "--num-steps", 0)
    found = succeed(*words, "--json").json

    assert any("decoded from q8_0: what quantising lost" in n for n in found["notes"])
    assert found["first_loss"] == pytest.approx(found["recorded_loss"], rel=1e-2)


@pytest.mark.parametrize("format", ["gguf", "hf"])
def test_checkpoints_are_written_in_other_formats(format: str, place: Path) -> None:
    words = from_nothing(place, format, "--format", format, "--num-steps", 2)

    found = Path(succeed(*words, "--json").json["checkpoint"])

    if format == "gguf":
        assert GGUFReader(found).fields["general.architecture"].contents() == "llama"
    else:
        assert hf.model(found).config.architectures == ["LlamaForCausalLM"]


def test_only_the_last_checkpoints_stay(place: Path) -> None:
    often = ("--steps-per-epoch", 1, "--num-steps", 3, "--keep", 2)
    succeed(*from_nothing(place, "kept", *often, "--validation-fraction", 0.1))

    names = sorted(each.name for each in (place / "kept" / "checkpoints").iterdir())
    assert names == ["step-000002.apr", "step-000003.apr"]


def started(place: Path, name: str) -> subprocess.Popen[str]:
    """Start a run as a program of its own, on one thread."""
    words = map(str, from_nothing(place, name, "--steps-per-epoch", 4))
    return subprocess.Popen(
        [sys.executable, "-m", "aprhub", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def await_step(folder: Path, step: int) -> None:
    path = folder / "metrics.jsonl"
    while not (path.exists() and f'"step": {step}, "loss"' in path.read_text()):
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_to_the_bit(
    number: signal.Signals, place: Path
) -> None:
    name = f"ended-{number}"
    process = started(place, name)
    await_step(place / name, 6)
    process.send_signal(number)
    told, _ = process.communicate(timeout=120)
    before = losses(place / name)

    if number is signal.SIGTERM:
        assert process.returncode == 128 + number
        assert "interrupted by SIGTERM" in told
        assert last(place, name).stem == f"step-{len(before):06}"
    assert 6 <= len(before) < 20
    succeed(*from_nothing(place, name, "--steps-per-epoch", 4), "--resume")
    assert losses(place / name) == losses(place / "run")
    assert measured(place / name)[20] == measured(place / "run")[20]


def test_a_run_goes_on_only_as_it_began(place: Path) -> None:
    again = refused(2, *from_nothing(place, "run"))
    other = refused(2, *from_nothing(place, "run", "--seed", 7), "--resume")
    nothing = refused(2, *from_nothing(place, "absent"), "--resume")
    done = succeed(*from_nothing(place, "run"), "--resume", "--json").json

    assert "there is a run; give --resume to go on with it" in again
    assert "its seed was 42, now it is 7" in other
    assert "there is no state.safetensors to go on from" in nothing
    assert (done["step"], done["reason"]) == (20, "all steps were done")


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 64 KiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_last_checkpoint_and_state(
    place: Path, request: pytest.FixtureRequest
) -> None:
    words = from_nothing(place, "full", "--steps-per-epoch", 4)
    process = started(place, "full")
    await_step(place / "full", 5)
    process.kill()
    process.communicate()
    before = {path: path.read_bytes() for path in contents(place / "full")}

    request.getfixturevalue("small_files")
    complaint = refused_run(3, *words, "--resume")

    assert "step-000008.apr" in complaint
    assert {path: path.read_bytes() for path in contents(place / "full")} == before


def contents(folder: Path) -> list[Path]:
    return [folder / "state.safetensors", *(folder / "checkpoints").iterdir()]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--seq-len", 512), "the model is made for 256 tokens, not for 512"),
        (("--num-steps", 9999), "GATE-CORPUS-PREFLIGHT: 9999 steps are 1279872 tokens"),
        (("--device", "cuda:15"), "FALSIFY-APR-PRETRAIN-INIT-CUDA-001"),
        (
            ("--preset", "qwen2-0.5b"),
            "--init, --preset and --config exclude each other",
        ),
        (("--mode", "finetune"), "--mode finetune needs a model"),
        (("--vocab-size", 9), "--vocab-size is that of the baseline"),
        (("--synthetic",), "nothing is trained on text that is made up"),
        (("--allow-shard-cycle",), "--epochs N says how often the text may be seen"),
        (("--force-under-provisioned",), "is a note, and no error"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[object, ...], what: str, place: Path
) -> None:
    done = run(*from_nothing(place, "refused", *words))

    assert done.code in (2, 3)
    assert what in done.err
    assert not (place / "refused" / "checkpoints").exists()


def test_a_checkpoint_that_is_not_there_is_an_error(place: Path) -> None:
    complaint = refused(3, *trained(place, "absent", "--init", place / "absent.apr"))

    assert f"{place / 'absent.apr'}: there is no such checkpoint" in complaint
    assert "FALSIFY-APR-PRETRAIN-INIT-006" in complaint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "text.txt: there is no text in it"),
        ("Too few words.", "less than one sequence, which needs 33"),
    ],
)
def test_a_text_that_is_too_short_is_refused(
    text: str, what: str, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(text)
    words = ("--dataset", tmp_path / "text.txt")

    assert what in refused(3, *from_nothing(place, "short", *words))
    assert not (place / "short").exists()


def test_the_tokens_of_another_model_are_refused(place: Path, tmp_path: Path) -> None:
    words = trained(place, "other", "--init", last(place))

    complaint = refused(1, *words, "--tokenizer", pico("mistral"))
    baseline = [
        *("pretrain", "--dataset", place / "text.txt", "--run-dir", place / "baseline"),
        *("--tokenizer", pico("llama-spm")),
    ]

    assert "another model's tokenizer: token" in complaint
    assert "GATE-ARCH-370M-011: 2000 tokens, but the model is made for 50257" in (
        refused(1, *baseline)
    )


def test_logs_for_tensorboard_hold_the_metrics(place: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    succeed(*from_nothing(place, "board", "--num-steps", 2), "--tensorboard")

    found = EventAccumulator(str(place / "board" / "tensorboard")).Reload()
    assert [e.value for e in found.Scalars("loss")] == pytest.approx(
        losses(place / "board"), rel=1e-6
    )
    assert [each.step for each in found.Scalars("val_loss")] == [0, 2]


def test_what_is_printed_is_what_was_done(place: Path) -> None:
    done: Done = succeed(*from_nothing(place, "printed", "--num-steps", 1))

    found = measured(place / "printed")
    lines = done.out.splitlines()
    assert lines[0] == (
        "hidden=64 layers=2 heads=4 kv_heads=2 vocab=2000 parameters=214336"
        " trained=214336 device=cpu"
    )
    assert lines[1] == f"step 0/1  validation loss {found[0]:.4f}"
    assert lines[3].startswith("note: 128 tokens are 0.0006 for each")
    assert lines[4].startswith(
        "all steps were done: 1 steps, 128 tokens, validation loss"
    )


def test_each_word_on_how_to_train_is_heard(place: Path) -> None:
    said: dict[str, object] = {
        "--warmup-steps": 2,
        "--schedule": "wsd",
        "--accumulate": 2,
        "--weight-decay": 0.2,
        "--clip": 0.5,
        "--patience": 1,
        "--precision": "bf16",
        "--target-val-loss": 7.59,
    }
    words = [word for pair in said.items() for word in pair]

    succeed(*from_nothing(place, "heard", *words, "--activation-checkpointing"))

    options = open_model(last(place, "heard")).provenance.lineage[-1].options
    assert options["schedule"] == "wsd"
    assert list(measured(place / "heard")) == [0, 10]
