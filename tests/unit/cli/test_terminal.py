"""What a person at a terminal sees, and what is kept from it."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import evolve

from aprhub import save_model
from tests.judges.tuned import tuned as tuned_model
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import succeed


def at_terminal(*words: object) -> tuple[int, str, str]:
    """Run a command whose complaints go to a terminal; return code and both texts."""
    keyboard, screen = pty.openpty()
    line = [sys.executable, "-W", "error", "-m", "aprhub", *map(str, words)]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=screen, check=False)
    os.write(screen, b"<end>")
    seen = b""
    while not seen.endswith(b"<end>"):
        seen += os.read(keyboard, 1 << 16)
    os.close(screen)
    os.close(keyboard)
    return done.returncode, done.stdout.decode(), seen.removesuffix(b"<end>").decode()


def test_progress_is_shown_on_a_terminal_and_only_there(
    gguf: Path, tmp_path: Path
) -> None:
    code, out, seen = at_terminal("convert", gguf, tmp_path / "out.apr")

    assert code == 0
    assert "━" in seen
    assert out.startswith(f"{gguf} (gguf, llama) -> ")
    assert "━" not in out


def test_making_an_adapter_shows_its_progress(tmp_path: Path) -> None:
    tuned, made = tmp_path / "tuned", tmp_path / "made"
    save_model(tuned_model("llama", 1), tuned)
    save_model(tuned_model("llama", 0), tmp_path / "base")

    words = [tmp_path / "base", tuned, "-o", made, "--rank", 2, "--to", "peft"]
    extracted = at_terminal("adapter", "extract", *words)
    words = [tmp_path / "base", made, "-o", tmp_path / "again", "--to", "peft"]
    converted = at_terminal("adapter", "convert", *words)
    merged = at_terminal(
        "adapter", "merge", tmp_path / "base", made, "-o", tmp_path / "m"
    )

    for code, out, seen in (extracted, converted, merged):
        assert code == 0
        assert "━" in seen
        assert "━" not in out


def test_no_progress_is_shown_beside_json_or_when_quiet(
    gguf: Path, tmp_path: Path
) -> None:
    assert at_terminal("convert", gguf, tmp_path / "a.apr", "--json")[2] == ""
    assert at_terminal("convert", gguf, tmp_path / "b.apr", "-q") == (0, "", "")


def test_an_error_leaves_the_terminal_with_one_line(gguf: Path, tmp_path: Path) -> None:
    words = ["--dtype", "f16", "--verify", "bytes"]

    code, out, seen = at_terminal("convert", gguf, tmp_path / "out.apr", *words)

    assert (code, out) == (1, "")
    assert "aprhub: error: " in seen
    assert "Traceback" not in seen


def test_texts_from_a_file_do_not_command_the_terminal(
    models: Models, tmp_path: Path
) -> None:
    model = models.pico("llama")
    sly = "clears\x1b[2J\x07\u202e"
    told = evolve(model, provenance=evolve(model.provenance, description=sly))
    save_model(told, tmp_path / "m.gguf", registry=models.registry)

    shown = succeed("inspect", tmp_path / "m.gguf").out
    exact = succeed("inspect", tmp_path / "m.gguf", "--json").json

    assert "\x1b" not in shown
    assert r"clears\x1b[2J\x07\u202e" in shown
    assert exact["provenance"]["description"] == sly


def test_a_claim_that_has_no_form_in_utf_8_is_shown(
    folder: Path, tmp_path: Path
) -> None:
    odd = Path(shutil.copytree(folder, tmp_path / "odd"))
    config = (odd / "config.json").read_text()
    (odd / "config.json").write_text(config.replace("LlamaForCausal", r"\ud800"))

    shown = succeed("inspect", odd).out
    exact = succeed("inspect", odd, "--json").json

    assert r"\ud800LM" in shown
    assert exact["config"]["identity"]["hf_class"] == "\ud800LM"


def test_a_file_name_need_not_be_utf_8(gguf: Path, tmp_path: Path) -> None:
    source = shutil.copy(gguf, tmp_path / os.fsdecode(b"\xff.gguf"))

    succeed("convert", source, tmp_path / "out.apr", "-q")

    provenance = succeed("inspect", tmp_path / "out.apr", "--json").json["provenance"]
    assert provenance["lineage"][-1]["inputs"].keys() == {r"\xff.gguf"}
