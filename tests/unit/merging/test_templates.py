"""The chat templates that recipes name, rendered as transformers renders them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from aprhub import convert, open_model
from aprhub.merging.templates import NAMED, chosen_template
from tests.judges.pico import pico
from tests.unit.cli.program import succeed

TURNS = ("user", "Hi"), ("assistant", "Yo"), ("user", "More")
SAID = (("system", "Be kind."), *TURNS)


def rendered(name: str, turns: Sequence[tuple[str, str]], *, asks: bool) -> str:
    """Render a template with the settings that transformers has."""
    world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return world.from_string(chosen_template(name, {})).render(
        messages=[{"role": role, "content": content} for role, content in turns],
        bos_token="<s>",
        eos_token="</s>",
        add_generation_prompt=asks,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "alpaca": (
            "Be kind.\n\n### Instruction:\nHi\n\n### Response:\nYo\n\n"
            "### Instruction:\nMore\n\n### Response:\n"
        ),
        "chatml": (
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>user\nMore<|im_end|>\n"
            "<|im_start|>assistant\n"
        ),
        "exaone": (
            "[|system|]Be kind.[|endofturn|]\n[|user|]Hi\n"
            "[|assistant|]Yo[|endofturn|]\n[|user|]More\n[|assistant|]"
        ),
        "llama3": (
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nYo<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nMore<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        "mistral": ("<s> [INST] Be kind.\n\nHi [/INST] Yo</s> [INST] More [/INST]"),
    }.items(),
)
def test_a_conversation_is_written_as_models_of_that_name_know_it(
    name: str, expected: str
) -> None:
    assert rendered(name, SAID, asks=True) == expected


def test_exaone_begins_with_an_empty_system_turn() -> None:
    assert rendered("exaone", TURNS[:1], asks=False) == (
        "[|system|][|endofturn|]\n[|user|]Hi\n"
    )


@pytest.mark.parametrize("name", ["alpaca", "chatml", "exaone", "llama3"])
def test_a_prompt_for_an_answer_is_only_added_when_asked(name: str) -> None:
    asked, told = (rendered(name, TURNS, asks=asks) for asks in (True, False))

    assert asked.startswith(told)
    assert asked != told
    assert set(NAMED) > {name}


@pytest.mark.parametrize(("name", "told"), [("chatml", False), ("llama3", True)])
def test_marks_that_are_no_tokens_are_told(
    name: str, told: bool, tmp_path: Path
) -> None:
    model, out = tmp_path / "m.apr", tmp_path / "out.apr"
    convert(pico("qwen2"), model)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "merge_method: linear\nparameters: {weight: 1}\n"
        f"models: [{{model: {model}}}, {{model: {model}}}]\nchat_template: {name}\n"
    )

    said = succeed("merge", recipe, "-o", out)

    assert ("which the model reads as text" in said.out) is told
    tokenizer = open_model(out).tokenizer
    assert tokenizer is not None
    assert tokenizer.chat_template == NAMED[name]
