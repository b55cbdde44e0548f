"""Models go on with texts, score them, and pass gates; transformers judges."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import aprhub
from aprhub import Registry, Sampling, open_model
from aprhub.decoder.generation import generated
from aprhub.decoder.model import Decoder
from aprhub.decoder.text import token_chunks
from aprhub.decoder.weights import loaded
from aprhub.generating import Writer
from aprhub.options import RunOptions
from tests.end_to_end.roads import convert
from tests.judges import hf
from tests.judges.corpus import STRINGS
from tests.judges.pico import PROMPTS, pico
from tests.judges.variants import DYNAMIC, LONGROPE, WINDOW, Variant
from tests.unit.cli.program import refused, run, succeed

SMALL = "llama-spm"


def decoder_of(path: Path) -> Decoder:
    model = open_model(path)
    assert model.config.family
    return loaded(model, Registry.load().family(model.config.family)).decoder


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "prompts.txt"
    path.write_text("\n".join([*PROMPTS, *STRINGS]), "utf-8")
    return path


def greedy_by_transformers(folder: Path, ids: list[int], count: int) -> list[int]:
    with torch.inference_mode():
        made = hf.model(folder).generate(
            torch.tensor([ids]),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
        )
    found: list[int] = made[0, len(ids) :].tolist()
    return found


@pytest.mark.parametrize("family", [SMALL, "gemma3", "mixtral", "phi3"])
def test_tokens_are_those_of_transformers(family: str) -> None:
    ids = hf.tokenize(pico(family), PROMPTS[0], add_special=True)

    found = list(generated(decoder_of(pico(family)), ids, Sampling(24)))

    assert found == greedy_by_transformers(pico(family), ids, 24)


@pytest.mark.parametrize("variant", [WINDOW, DYNAMIC, LONGROPE], ids=str)
def test_what_a_cache_keeps_changes_no_token(variant: Variant, tmp_path: Path) -> None:
    decoder = decoder_of(variant.made(tmp_path))
    ids = hf.tokenize(pico(variant.family), PROMPTS[0], add_special=True)[:20]

    found = list(generated(decoder, ids, Sampling(40)))

    for count, token in enumerate(found):
        with torch.inference_mode():
            logits = decoder(torch.tensor([ids + found[:count]]))[0, -1]
        assert token == int(logits.argmax()), count


def test_logits_with_a_cache_are_those_without_one() -> None:
    decoder = decoder_of(pico(SMALL))
    ids = torch.tensor([hf.tokenize(pico(SMALL), PROMPTS[0], add_special=True)[:30]])
    parts = torch.tensor_split(ids, [7, 8, 9, 18], dim=1)
    cache = decoder.cache()

    with torch.inference_mode():
        found = [decoder(part, cache) for part in parts]
        whole = decoder(ids)

    assert torch.allclose(torch.cat(found, dim=1), whole, rtol=1e-4, atol=1e-3)


def test_chance_follows_its_seed_and_keeps_to_the_likeliest() -> None:
    decoder, ids = decoder_of(pico(SMALL)), [5, 6, 7]

    def drawn(**options: Any) -> list[int]:
        return list(generated(decoder, ids, Sampling(12, **options)))

    warm = drawn(temperature=30.0, seed=3)
    assert warm == drawn(temperature=30.0, seed=3)
    assert warm != drawn(temperature=30.0, seed=4)
    assert drawn(temperature=30.0, top_k=1) == drawn() != warm
    assert drawn(temperature=30.0, top_p=1e-9) == drawn()


def test_the_end_of_a_text_ends_it() -> None:
    decoder, ids = decoder_of(pico(SMALL)), [5, 6, 7]
    whole = list(generated(decoder, ids, Sampling(12)))
    end = next(
        each for place, each in enumerate(whole) if each not in whole[:place][:3]
    )

    found = list(generated(decoder, ids, Sampling(12), {end}))

    assert found == whole[: whole.index(end)]


def test_a_text_is_printed_as_it_is_made() -> None:
    words = ("run", pico(SMALL), PROMPTS[0], "--max-tokens", 32)

    told = succeed(*words, "--json").json

    ids = hf.tokenize(pico(SMALL), PROMPTS[0], add_special=True)
    assert told["ids"] == greedy_by_transformers(pico(SMALL), ids, 32)
    assert not told["ended"]
    assert succeed(*words).out == told["text"] + "\n"
    made = aprhub.generate(pico(SMALL), PROMPTS[0], Sampling(32))
    assert "".join(made) == told["text"]


def test_the_likeliest_token_is_drawn_where_no_other_may_be() -> None:
    words = ("run", pico(SMALL), PROMPTS[0], "--max-tokens", 8)
    hot = (*words, "--temperature", 30.0)

    assert succeed(*hot, "--top-k", 1).out == succeed(*words).out
    assert succeed(*hot, "--top-p", 1e-9).out == succeed(*words).out


def test_a_prompt_without_a_token_is_refused() -> None:
    writer = Writer.of(pico("qwen2"), RunOptions(), Registry.load())

    assert writer.given.tokenizer.add_bos is not True
    assert "the prompt has no token" in refused(2, "run", pico("qwen2"), "")


def test_more_tokens_than_a_model_is_made_for_are_refused() -> None:
    complaint = refused(2, "run", pico(SMALL), "a", "--max-tokens", 600)

    assert "made for 512 tokens" in complaint
    assert "--max-tokens" in complaint


@pytest.mark.parametrize(
    "options", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": 0}]
)
def test_a_sampling_that_draws_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(aprhub.AprhubError, match=next(iter(options))):
        Sampling(**options)


def test_a_score_is_the_cross_entropy_of_transformers(text: Path) -> None:
    told = succeed(
        "eval", pico(SMALL), text, "--seq-len", 32, "--chunks", 5, "--json"
    ).json

    chunks = token_chunks(text, Writer.of(*_small()).given.tokenizer, 32, 5)
    losses = []
    prompts = chunks.tolist()
    for ids, found in zip(prompts, hf.logits_of(pico(SMALL), prompts), strict=True):
        logits, wanted = torch.from_numpy(found[:-1]), torch.tensor(ids[1:])
        losses.append(torch.nn.functional.cross_entropy(logits, wanted).item())
    assert told["tokens"] == 5 * 31
    assert told["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert told["perplexity"] == pytest.approx(np.exp(told["loss"]))


def _small() -> tuple[Path, RunOptions, Registry]:
    return pico(SMALL), RunOptions(), Registry.load()


@pytest.mark.parametrize(("floor", "code"), [(0.001, 0), (1e9, 1)])
def test_speed_is_judged_by_the_floor_that_is_given(floor: float, code: int) -> None:
    words = ("bench", pico(SMALL), "--max-tokens", 4, "--iterations", 3)

    done = run(*words, "--floor", floor, "--json")

    assert done.code == code
    assert done.json["passed"] is not bool(code)
    assert len(done.json["iterations"]) == 3
    assert done.json["tokens_per_second"] == np.median(done.json["iterations"])


def verdicts(*words: object) -> tuple[int, dict[str, str], dict[str, str]]:
    """Return the exit code, and outcome and reason of each gate."""
    done = run("qa", *words, "--max-tokens", 4, "--json")
    gates = done.json["gates"]
    outcomes = {each["gate"]: each["outcome"] for each in gates}
    return done.code, outcomes, {each["gate"]: each["reason"] for each in gates}


def test_a_model_of_chance_fails_only_that_it_has_learned(tmp_path: Path) -> None:
    convert(pico(SMALL), tmp_path / "m.gguf")

    code, outcomes, reasons = verdicts(pico(SMALL), "--against", tmp_path / "m.gguf")

    assert code == 1
    failed = [gate for gate, outcome in outcomes.items() if outcome == "FAIL"]
    assert failed == ["golden_output"]
    assert [gate for gate, each in outcomes.items() if each == "SKIP"] == ["throughput"]
    assert "64 of 64 steps" in reasons["format_parity"]
    assert verdicts(pico(SMALL), "--skip-golden-output")[0] == 0


def test_knowing_nothing_is_not_having_learned(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(pico(SMALL), folder)
    tensors = load_file(folder / "model.safetensors")
    # All logits are nearly equal: a loss of ln(2000), the least without knowledge.
    tensors["model.norm.weight"] *= 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    code, outcomes, reasons = verdicts(folder)

    assert code == 1
    assert outcomes["golden_output"] == "FAIL"
    assert "loss 7.6" in reasons["golden_output"]


def test_another_model_is_not_the_same_in_another_format(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(pico(SMALL), folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.v_proj.weight"] *= -1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    _, outcomes, reasons = verdicts(pico(SMALL), "--against", folder)

    assert outcomes["format_parity"] == "FAIL"
    assert "cosine" in reasons["format_parity"]


def test_a_file_that_is_not_there_fails_the_gate_that_wants_it(tmp_path: Path) -> None:
    _, outcomes, reasons = verdicts(pico(SMALL), "--against", tmp_path / "absent.gguf")

    assert outcomes["format_parity"] == "FAIL"
    assert "absent.gguf" in reasons["format_parity"]


def test_a_broken_file_fails_the_first_gates_and_leaves_out_the_rest(
    tmp_path: Path,
) -> None:
    convert(pico(SMALL), tmp_path / "m.gguf")
    whole = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[:-4096])

    code, outcomes, reasons = verdicts(tmp_path / "m.gguf")

    assert code == 1
    assert list(outcomes.values()) == ["FAIL", "FAIL", *["SKIP"] * 7]
    assert "tensors, which did not pass" in reasons["tokenizer"]


def test_too_few_gates_are_no_proof() -> None:
    skips = ("--skip-golden-output", "--skip-forward")

    assert verdicts(pico(SMALL), *skips)[0] == 0
    assert verdicts(pico(SMALL), *skips, "--min-executed", 6)[0] == 1


def test_each_gate_can_be_left_out() -> None:
    skips = (
        *("--skip-container", "--skip-tensors", "--skip-metadata", "--skip-identity"),
        *("--skip-tokenizer", "--skip-forward", "--skip-golden-output"),
        *("--skip-format-parity", "--skip-throughput"),
    )

    assert set(verdicts(pico(SMALL), *skips)[1].values()) == {"SKIP"}


def test_a_speed_that_is_demanded_is_a_gate() -> None:
    speedy = ("--assert-tps", 1e9, "--iterations", 1, "--warmup", 0)

    _, outcomes, reasons = verdicts(pico(SMALL), *speedy)

    assert outcomes["throughput"] == "FAIL"
    assert "1e+09 are demanded" in reasons["throughput"]
