"""What was changed of a tokenizer on the way is in the texts of the folder at the end.

A model carries the texts of the folder that it came from; those that are no longer true
are put right, and the others stay to the letter. transformers is the judge.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.makers import model as small_model
from tests.adapters.makers import saved
from tests.end_to_end.roads import convert
from tests.health import raw
from tests.judges import hf
from tests.judges.pico import pico
from tests.unit.cli.program import refused, run, succeed

NEW = "{{ 'another template' }}"


@pytest.fixture(params=["tokenizer_config.json", "chat_template.jinja"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder whose template stands in one place or the other."""
    folder = tmp_path / "source"
    shutil.copytree(pico("llama-spm"), folder)
    if request.param == "chat_template.jinja":
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        (folder / request.param).write_text(settings.pop("chat_template"))
        path.write_text(json.dumps(settings))
    return folder


def judged(folder: Path) -> Any:
    return hf.transformers().AutoTokenizer.from_pretrained(folder)


def texts(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_text()
        for path in folder.iterdir()
        if path.suffix in (".json", ".jinja") and path.name != "aprhub.json"
    }


@pytest.mark.parametrize("suffix", [".apr", ".gguf", ".safetensors", ""])
def test_what_nobody_changed_stays_to_the_letter(
    source: Path, suffix: str, tmp_path: Path
) -> None:
    convert(source, tmp_path / f"m{suffix}")
    convert(tmp_path / f"m{suffix}", tmp_path / "back")

    there, back = texts(source), texts(tmp_path / "back")
    programs = [json.loads(each.pop("tokenizer.json")) for each in (there, back)]
    assert there == back
    assert programs[0] == programs[1]


@pytest.mark.parametrize("suffix", [".apr", ".gguf"])
def test_a_template_that_was_stamped_is_the_folders(
    source: Path, suffix: str, tmp_path: Path
) -> None:
    model, back = tmp_path / f"m{suffix}", tmp_path / "back"
    (tmp_path / "new.jinja").write_text(NEW)
    convert(source, model)
    succeed("stamp", model, "--chat-template", tmp_path / "new.jinja", "--in-place")

    convert(model, back)

    assert judged(back).chat_template == NEW
    assert {*texts(back)} == {*texts(source)}


def test_a_template_that_was_taken_out_is_gone(source: Path, tmp_path: Path) -> None:
    model, back = tmp_path / "m.gguf", tmp_path / "back"
    convert(source, model)
    succeed("stamp", model, "--unset", "tokenizer.chat_template", "--in-place")

    convert(model, back)

    assert judged(back).chat_template is None
    assert "chat_template" not in json.loads(texts(back)["tokenizer_config.json"])


def test_a_merge_writes_the_template_that_it_was_told(
    source: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "merge_method: linear\nparameters: {weight: 1}\n"
        f"models: [{{model: {source}}}, {{model: {source}}}]\n"
        "chat_template: chatml\n"
    )

    succeed("merge", recipe, "-o", tmp_path / "merged")

    assert "<|im_start|>" in judged(tmp_path / "merged").chat_template


@pytest.mark.parametrize(
    ("suffix", "key"),
    [(".gguf", "tokenizer.ggml.eos_token_id"), (".apr", "tokenizer.eos_token_id")],
)
def test_another_end_of_texts_is_the_folders(
    source: Path, suffix: str, key: str, tmp_path: Path
) -> None:
    model, back = tmp_path / f"m{suffix}", tmp_path / "back"
    convert(source, model)
    succeed("stamp", model, "--set", f"{key}=300", "--in-place")

    convert(model, back)

    assert judged(back).eos_token_id == 300
    assert judged(back).bos_token_id == 1
    before, after = (
        json.loads((each / "config.json").read_text()) for each in (source, back)
    )
    assert after == {**before, "eos_token_id": 300}
    assert after["rope_scaling"] is None
    for name in ("config.json", "generation_config.json"):
        assert json.loads((back / name).read_text())["eos_token_id"] == 300
    convert(model, tmp_path / "one.safetensors")
    convert(tmp_path / "one.safetensors", tmp_path / "again")
    once, again = texts(back), texts(tmp_path / "again")
    assert {*once} == {*again}
    # The new end is a special token there, as transformers takes it.
    assert [name for name in once if once[name] != again[name]] == ["tokenizer.json"]


def test_a_role_that_was_taken_away_and_a_flag_that_was_turned_are_the_folders(
    source: Path, tmp_path: Path
) -> None:
    model, back = tmp_path / "m.gguf", tmp_path / "back"
    convert(source, model)
    words = ("--unset", "tokenizer.ggml.unknown_token_id")
    turned = ("--set", "tokenizer.ggml.add_bos_token=false")
    succeed("stamp", model, *words, *turned, "--in-place")

    convert(model, back)

    settings = json.loads((back / "tokenizer_config.json").read_text())
    assert "unk_token" not in settings
    assert settings["add_bos_token"] is False
    assert settings["eos_token"] == "</s>"
    assert (back / "config.json").read_text() == (source / "config.json").read_text()


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"chat_template": [1, {}]}', '{"chat_template": 5}']
)
def test_settings_that_nobody_can_read_are_refused_or_made_anew(
    source: Path, text: str, tmp_path: Path
) -> None:
    model = tmp_path / "m.gguf"
    convert(source, model)
    key = "aprhub.hf.tokenizer_config_json"
    succeed("stamp", model, "--set", f"{key}={text}", "--in-place")

    done = run("convert", model, tmp_path / "back")

    assert done.code in (0, 3)
    assert "internal error" not in done.err
    assert (tmp_path / "back").exists() is (done.code == 0)


def renamed(model: Path, before: str, after: str) -> None:
    """Put another text of the same length into the first list that has the one."""
    length = len(before.encode()).to_bytes(8, "little")
    assert len(before.encode()) == len(after.encode())
    whole = model.read_bytes()
    found = whole.replace(length + before.encode(), length + after.encode(), 1)
    assert found != whole
    model.write_bytes(found)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder whose byte-level vocabulary has few tokens, and rows to spare."""
    return saved(small_model("qwen2"), tmp_path / "small")


@pytest.mark.parametrize("target", ["back", "m.apr", "again.gguf"])
@pytest.mark.parametrize(
    ("name", "what", "texts"),
    [
        ("llama-spm", "token 400", ("IK", "QJ")),
        ("small", "token 259", ("hello", "hellu")),
        ("small", "merge rule 2", ("he ll", "he lx")),
    ],
)
def test_lists_that_were_changed_beside_the_program_are_refused(
    name: str, what: str, texts: tuple[str, str], target: str, small: Path
) -> None:
    place, folder = small.parent, small if name == "small" else pico(name)
    model = place / "m.gguf"
    convert(folder, model)
    renamed(model, *texts)

    told = refused(1, "convert", model, place / target)

    before, after = map(repr, texts)
    assert f"{what}: {after} in the lists, {before} in the tokenizer.json" in told
    assert told.count("in the lists") == 1
    assert not (place / target).exists()
    succeed("stamp", model, "--tokenizer", folder, "--in-place")
    convert(model, place / target)


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--naming", "keep")])
@pytest.mark.parametrize("target", ["back", "m.apr", "m.gguf"])
def test_a_rule_about_a_token_that_is_not_there_is_refused(
    target: str, options: tuple[str, ...], small: Path
) -> None:
    program = json.loads((small / "tokenizer.json").read_text("utf-8"))
    program["model"]["merges"].append(["he", "qq"])
    (small / "tokenizer.json").write_text(json.dumps(program), "utf-8")
    words = ("convert", small, small.parent / target, *options)

    if target == "back" and "keep" in options:
        succeed(*words)  # which keeps the text as it is, without looking into it
    else:
        assert "'heqq' is in a rule, but not in the vocabulary" in refused(3, *words)
        assert [each.name for each in small.parent.iterdir()] == ["small"]


def test_other_names_of_ids_without_a_token_are_no_disagreement(small: Path) -> None:
    model = small.parent / "m.gguf"
    convert(small, model)
    parts = raw.open_gguf(model)
    key = "tokenizer.ggml.tokens"
    before, after = b"<|pad_287|>", b"[PAD287]"
    sizes = (len(each).to_bytes(8, "little") for each in (before, after))
    old, new = (size + each for size, each in zip(sizes, (before, after), strict=True))
    assert old in parts.get(key)
    parts.put(key, parts.get(key).replace(old, new))
    raw.write_gguf(parts, small.parent / "other.gguf")

    convert(small.parent / "other.gguf", small.parent / "back")


def test_a_stamp_in_place_tells_which_lists_it_replaced(tmp_path: Path) -> None:
    """Lists as long as those of a real vocabulary are not read with the rest."""
    model, folder = tmp_path / "m.gguf", tmp_path / "other"
    convert(pico("qwen2"), model)
    folder.mkdir()
    program = json.loads((pico("qwen2") / "tokenizer.json").read_text())
    program["model"]["merges"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(program))

    words = ("--tokenizer", folder, "--in-place", "--json")
    told = succeed("stamp", model, *words).json["stamped"]["tokenizer.ggml.merges"]

    assert told["before"]["json_bytes"] > told["after"]["json_bytes"]
