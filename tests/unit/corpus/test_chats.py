"""Conversations: which tokens are learnt, judged by transformers and by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    CorruptFileError,
    InputError,
    ModelCheckError,
    Tokenizer,
    UnsupportedFileError,
    UsageError,
)
from aprhub.corpus import ChatOptions, Corpus, prepared_chats
from aprhub.tokenizer.parity import loaded_program
from tests.judges import corpus
from tests.unit.corpus.texts import PICO, judge, lines, real

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
"""

HEADERS = """\
{{ bos_token }}{% for message in messages %}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{% if message['role'] == 'assistant' %}
{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}
{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}
{% endfor %}
"""

TURNS = """\
{{ bos_token }}
{%- for message in messages -%}
<start_of_turn>{{ message['role'] }}
{% if message['role'] == 'assistant' -%}
{% generation %}{{ message['content'] }}<end_of_turn>{% endgeneration %}
{%- else %}{{ message['content'] }}<end_of_turn>{% endif %}

{% endfor %}
"""

TEMPLATES = {"qwen3": CHATML, "llama3_1": HEADERS, "gemma3": TURNS}

SIMPLE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

SPACED = "{% set said = messages[1].content %}{{ messages[0].content }}: SAID<|end|>"

ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + SIMPLE
)


def said(*messages: str) -> list[dict[str, str]]:
    """Return messages of a user and an assistant by turns."""
    roles = ("user", "assistant") * len(messages)
    return [
        {"role": role, "content": text}
        for role, text in zip(roles, messages, strict=False)
    ]


def chats(
    folder: Path, tokenizer: Tokenizer, values: Sequence[Any], **options: Any
) -> Corpus:
    """Prepare records without a validation part, unless one is asked for."""
    asked = {"seq_len": 999, "validation_fraction": 0.0, "cache": folder / "cache"}
    source = lines(folder / "chats.jsonl", values)
    return prepared_chats([source], tokenizer, ChatOptions(**{**asked, **options}))


def talking(
    folder: Path, template: str | None, *messages: str, **options: Any
) -> Corpus:
    """Prepare one conversation with a template, for a tokenizer of some bytes."""
    record = {"messages": said(*(messages or ("x", "y")))}
    return chats(folder, evolve(PICO, chat_template=template), [record], **options)


def rows(found: Corpus, tokenizer: Tokenizer) -> list[tuple[list[int], list[bool]]]:
    """Return ids and marks of each example, without the padding of its row."""
    raw = np.fromfile(found.folder / "train.bin", "<u4")
    padding = tokenizer.special_ids.get("pad", tokenizer.special_ids.get("eos"))
    examples = []
    for row in raw.reshape(-1, found.train.seq_len + 1):
        ids, marks = row & 0x7FFFFFFF, row >> 31 == 1
        end = len(row) - int(np.argmax((ids != padding)[::-1]))
        # An end of text may be a part of the example, and the padding at once.
        end = max(end, int(np.flatnonzero(marks)[-1]) + 1)
        examples.append((ids[:end].tolist(), marks[:end].tolist()))
    return examples


@pytest.mark.parametrize("name", TEMPLATES)
def test_marked_answers_are_those_that_transformers_finds(
    name: str, tmp_path: Path
) -> None:
    template = TEMPLATES[name]
    tokenizer = evolve(real(name), chat_template=template)
    talks = [said(*corpus.STRINGS[n : n + 4]) for n in range(len(corpus.STRINGS) - 3)]

    found = chats(tmp_path, tokenizer, [{"messages": each} for each in talks])

    examples = rows(found, tokenizer)
    assert found.manifest.dropped + len(examples) == len(talks) > 150
    wanted = [_theirs(name, each, template) for each in talks]
    assert examples == [each for each in wanted if len(each[0]) <= 1000]


def _theirs(
    name: str, messages: list[dict[str, str]], template: str
) -> tuple[list[int], list[bool]]:
    done = judge(name).apply_chat_template(
        messages,
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return done["input_ids"], [mark == 1 for mark in done["assistant_masks"]]


HAND = {
    "gemma3": (
        "<bos> <start_of_turn> user \n Hi <end_of_turn> \n <start_of_turn> model \n",
        "Hello ! <end_of_turn>",
        "\n",
    ),
    "llama3_1": (
        "<|begin_of_text|> <|start_header_id|> user <|end_header_id|> ĊĊ Hi <|eot_id|>"
        " <|start_header_id|> assistant <|end_header_id|> ĊĊ",
        "Hello ! <|eot_id|>",
        "",
    ),
    "qwen3": (
        "<|im_start|> user Ċ Hi <|im_end|> Ċ <|im_start|> assistant Ċ",
        "<think> ĊĊ </think> ĊĊ Hello ! <|im_end|>",
        "Ċ",
    ),
}


@pytest.mark.parametrize("name", HAND)
def test_answers_of_real_templates_are_those_marked_by_hand(
    name: str, tmp_path: Path
) -> None:
    parts = [[*filter(None, part.split(" "))] for part in HAND[name]]
    found = chats(tmp_path, real(name), [{"messages": said("Hi", "Hello!")}])

    ((ids, marks),) = rows(found, real(name))

    tokens = judge(name).convert_ids_to_tokens(ids)
    assert tokens == [token for part in parts for token in part]
    assert marks == [n == 1 for n, part in enumerate(parts) for _ in part]
    messages = said("Hi", "Hello!")
    assert (
        ids == judge(name).apply_chat_template(messages, return_dict=True)["input_ids"]
    )


def answers(found: Corpus, tokenizer: Tokenizer) -> list[str]:
    """Return what is learnt of each example, decoded."""
    program = loaded_program(tokenizer)
    return [
        program.decode(
            [number for number, mark in zip(ids, marks, strict=True) if mark],
            skip_special_tokens=False,
        )
        for ids, marks in rows(found, tokenizer)
    ]


def test_later_answers_are_learnt_in_the_same_text(tmp_path: Path) -> None:
    messages = said("One", "First.", "Two", "Second.", "Three, never answered")

    found = chats(tmp_path, real("llama3_1"), [{"messages": messages}])

    learnt = answers(found, real("llama3_1"))
    assert learnt == ["First.<|eot_id|>Second.<|eot_id|>"]


def test_an_answer_that_the_past_shows_otherwise_is_learnt_on_its_own(
    tmp_path: Path,
) -> None:
    messages = said("One", "First.", "Two", "Second.")

    found = chats(tmp_path, real("qwen3"), [{"messages": messages}])

    # Qwen3 thinks in its last answer only, and keeps no thoughts of earlier ones.
    thought = "<think>\n\n</think>\n\n"
    assert answers(found, real("qwen3")) == [
        f"{thought}First.<|im_end|>",
        f"{thought}Second.<|im_end|>",
    ]
    program = loaded_program(real("qwen3"))
    _, second = rows(found, real("qwen3"))
    assert program.decode(second[0], skip_special_tokens=False).count("<think>") == 1


def test_records_of_all_spellings_are_conversations(tmp_path: Path) -> None:
    tokenizer = evolve(PICO, chat_template=SIMPLE)
    records = [
        {"messages": said("Add: 1 2", "3")},
        {"prompt": "Add: 1 2", "completion": "3"},
        {"instruction": "Add: 1 2", "output": "3"},
        {"instruction": "Add: 1 2", "input": "", "output": "3"},
    ]

    found = rows(chats(tmp_path, tokenizer, records), tokenizer)

    assert [each == found[0] for each in found] == [True] * 4
    with_input = [{"instruction": "Add:", "input": "1 2", "output": "3"}]
    (other,) = rows(chats(tmp_path, tokenizer, with_input), tokenizer)
    text = loaded_program(PICO).decode(other[0], skip_special_tokens=False)
    assert text == "user: Add:\n\n1 2<|end|>assistant: 3<|end|>"


def test_targets_are_answers_and_padding_has_none(tmp_path: Path) -> None:
    found = talking(tmp_path, SIMPLE, "hi", "hello", seq_len=60)

    (batch,) = found.train.sweep(1)

    assert batch.inputs.shape == batch.targets.shape == (1, 60)
    learnt = batch.targets[batch.targets != -100]
    program = loaded_program(PICO)
    assert program.decode(learnt.tolist(), skip_special_tokens=False) == "hello<|end|>"
    place = int(np.flatnonzero(batch.targets[0] != -100)[0])
    assert batch.inputs[0, place + 1] == batch.targets[0, place]


def test_spaces_are_part_of_an_answer(tmp_path: Path) -> None:
    # As GPT-2 and Llama 3 have it, though no space is left out of a token's place here.
    trims = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    program = {**json.loads(PICO.json or ""), "post_processor": trims}
    template = SPACED.replace("SAID", "{% generation %}{{ said }}{% endgeneration %}")
    tokenizer = evolve(PICO, json=json.dumps(program), chat_template=template)

    found = chats(tmp_path, tokenizer, [{"messages": said("hi", "hello \n  world  ")}])

    assert answers(found, PICO) == ["hello \n  world  "]


def test_a_token_that_an_answer_begins_within_is_learnt(tmp_path: Path) -> None:
    found = talking(tmp_path, SIMPLE, "hi", "  hello")

    # The template asks with a space at its end, and two are one token.
    assert answers(found, PICO) == ["   hello<|end|>"]


@pytest.mark.parametrize("seq_len", range(50, 60))
def test_examples_are_packed_up_to_the_last_place(tmp_path: Path, seq_len: int) -> None:
    records = [{"messages": said("x", "y" * n)} for n in range(2, 9)]
    tokenizer = evolve(PICO, chat_template=SIMPLE)

    found = chats(tmp_path, tokenizer, records, seq_len=seq_len, packed=True)

    wanted = "".join(f"{'y' * n}<|end|>" for n in range(2, 9))
    assert "".join(answers(found, tokenizer)) == wanted


def test_packed_sequences_have_the_same_answers_in_fewer_rows(tmp_path: Path) -> None:
    tokenizer = evolve(PICO, chat_template=SIMPLE)
    records = [{"messages": said(f"say {n}", "hello " * n)} for n in range(1, 12)]

    one = chats(tmp_path, tokenizer, records, seq_len=120)
    packed = chats(tmp_path, tokenizer, records, seq_len=120, packed=True)

    assert len(one.train) == 11
    assert len(packed.train) < 6
    assert packed.manifest.parts["train"].documents == 11
    assert "".join(answers(packed, tokenizer)) == "".join(answers(one, tokenizer))


@pytest.mark.parametrize(
    ("too_long", "counted"), [("drop", (0, 2, 1)), ("cut", (1, 1, 2))]
)
def test_what_is_too_long_is_dropped_or_cut_and_counted(
    tmp_path: Path, too_long: str, counted: tuple[int, int, int]
) -> None:
    tokenizer = evolve(PICO, chat_template=SIMPLE)
    records = [
        {"messages": said("hi", "yes")},
        {"messages": said("hi", "hello " * 30)},
        {"messages": said("hello there " * 30, "nothing of this is left")},
    ]

    found = chats(tmp_path, tokenizer, records, seq_len=50, too_long=too_long)

    cut, dropped = found.manifest.cut, found.manifest.dropped
    assert (cut, dropped, len(found.train)) == counted


def test_all_of_a_conversation_is_in_one_part(tmp_path: Path) -> None:
    # The text begins with the number of turns, so that each answer is an example.
    template = "{{ (messages | length + 1) // 2 }} " + SIMPLE
    tokenizer = evolve(PICO, chat_template=template)
    records = [{"messages": said(f"{n}", "One.", "And?", "Two.")} for n in range(40)]

    found = chats(tmp_path, tokenizer, records, validation_fraction=0.4)

    parts = found.manifest.parts
    assert parts["train"].documents + parts["validation"].documents == 80
    assert parts["validation"].documents % 2 == 0
    assert 0 < parts["validation"].documents < 80


REFUSED = {
    "no messages": ({"text": "x"}, "no conversation (keys: text); expected messages"),
    "no list": ({"messages": "x"}, "messages are 'x', expected a list of objects"),
    "no object": ({"messages": ["x"]}, "message 0 is 'x', expected an object"),
    "no role": ({"messages": [{"content": "x"}]}, "no key 'role'"),
    "no content": ({"messages": [{"role": "user"}]}, "no key 'content'"),
    "no answer": ({"messages": said("x")}, "no message is an assistant's"),
    "half a prompt": ({"prompt": "x"}, "no key 'completion'"),
    "refused": (
        {"messages": [*said("x", "y"), {"role": "assistant", "content": "z"}]},
        "chat template refuses it: roles must alternate",
    ),
    "half a pair": (
        {"messages": [{**said("x", "y")[1], "content": "\ud800"}]},
        "half of a surrogate pair",
    ),
}


@pytest.mark.parametrize(("record", "what"), REFUSED.values(), ids=REFUSED)
def test_a_record_that_is_no_conversation_is_named_by_its_line(
    tmp_path: Path, record: dict[str, Any], what: str
) -> None:
    good = {"messages": said("x", "y")}

    with pytest.raises(CorruptFileError) as caught:
        chats(tmp_path, evolve(PICO, chat_template=ALTERNATE), [good, record])

    assert str(caught.value).startswith(f"{tmp_path / 'chats.jsonl'}: line 2: ")
    assert what in str(caught.value)


def test_a_template_that_asks_otherwise_than_it_answers_is_refused(
    tmp_path: Path,
) -> None:
    odd = "{{ messages | length }}{% if add_generation_prompt %}?{% endif %}"

    with pytest.raises(CorruptFileError, match="begins an answer otherwise than"):
        talking(tmp_path, odd)


def test_a_template_that_marks_no_answer_is_refused(tmp_path: Path) -> None:
    bare = "{{ messages[0].content }}{% generation %}{% endgeneration %}"

    with pytest.raises(CorruptFileError, match="marks no answer in it"):
        chats(
            tmp_path, evolve(PICO, chat_template=bare), [{"messages": said("x", "y")}]
        )


@pytest.mark.parametrize(
    ("template", "what"),
    [(None, "no chat template"), ("{% for %}", "its chat template is none")],
)
def test_a_model_without_a_usable_template_is_refused(
    tmp_path: Path, template: str | None, what: str
) -> None:
    with pytest.raises(ModelCheckError, match=what):
        talking(tmp_path, template)


def test_when_all_is_too_long_nothing_is_left_and_that_is_an_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="all 1 examples are too long"):
        talking(tmp_path, SIMPLE, seq_len=3)


def test_text_files_are_no_conversations(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("text", "utf-8")
    options = ChatOptions(8, cache=tmp_path / "cache")

    with pytest.raises(UnsupportedFileError, match=r"\(.jsonl, .ndjson\)"):
        prepared_chats([tmp_path / "some.txt"], PICO, options)


def test_an_unknown_way_with_long_ones_is_refused() -> None:
    with pytest.raises(UsageError, match="too_long is 'keep'; choose drop or cut"):
        ChatOptions(8, too_long="keep")
