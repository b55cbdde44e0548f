"""Plugins that are broken cost themselves only, and are shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.third_party.distributions import Program

HEAD = "from aprhub.api import *\n"

BROKEN = {
    "import-error": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "syntax-error": ("def provide_formats(:", "SyntaxError"),
    "exits": ("raise SystemExit(4)", "SystemExit: 4"),
    "wrong-argument": (
        "@hookimpl\ndef provide_formats(config):\n    return ()\n",
        "PluginValidationError",
    ),
    "misspelt": (
        "@hookimpl\ndef provide_format():\n    return ()\n",
        "unknown hook 'provide_format'",
    ),
    "raises": (
        "@hookimpl\ndef provide_formats():\n    return 1 / 0\n",
        "ZeroDivisionError",
    ),
    "raises-late": (
        "@hookimpl\ndef provide_codecs():\n    yield 1 / 0\n",
        "ZeroDivisionError",
    ),
    "exits-late": (
        "@hookimpl\ndef provide_formats():\n    raise SystemExit(4)\n",
        "SystemExit: 4",
    ),
    "wrong-kind": (
        "@hookimpl\ndef provide_formats():\n    return ['gguf']\n",
        "provided 'gguf', expected a Format",
    ),
    "newer-api": (
        "from aprhub.api import MergePlan\n",
        "cannot import name 'MergePlan'",
    ),
    "newer-field": (
        "F = Format('x', 'X', (), preview=None)\n",
        "unexpected keyword argument 'preview'",
    ),
}

Plugin = Callable[..., Path]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_plugin_costs_itself_only_and_is_shown(
    program: Program, plugin: Plugin, name: str
) -> None:
    source, error = BROKEN[name]
    healthy = program.run("plugins", "--json").json["plugins"]

    found = program.beside(plugin(name, HEAD + source)).run("plugins", "--json")

    rows = found.json["plugins"]
    broken = [row for row in rows if row["state"] == "broken"]
    assert found.code == 0
    assert [row for row in rows if row["state"] != "broken"] == healthy
    assert [row["plugin"] for row in broken] == [f"{name} ({name} 1.0)"]
    assert error in broken[0]["error"]


def test_all_broken_plugins_are_listed_for_a_reader(
    program: Program, plugin: Plugin
) -> None:
    for name, (source, _) in BROKEN.items():
        folder = plugin(name, HEAD + source)

    found = program.beside(folder).run("plugins")

    lines = [line for line in found.out.splitlines() if line.startswith("broken")]
    assert len(lines) == len(BROKEN)
    assert "ok" in found.out


def test_a_broken_plugin_is_fatal_when_plugins_are_strict(
    program: Program, plugin: Plugin
) -> None:
    plugin("typo", HEAD + BROKEN["misspelt"][0])
    folder = plugin("gone", BROKEN["import-error"][0])

    found = program.beside(folder).run("plugins", "--strict-plugins")

    assert found.code == 3
    assert found.err.startswith("aprhub: error: plugins could not be loaded; update")
    assert "typo (typo 1.0)" in found.err
    assert "gone (gone 1.0)" in found.err


def test_healthy_plugins_may_be_strict(program: Program) -> None:
    assert program.run("formats", "--strict-plugins").code == 0


def test_a_name_that_is_missing_reminds_of_broken_plugins(
    program: Program, plugin: Plugin, tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(b"GGUF")
    folder = plugin("gone", BROKEN["import-error"][0])

    found = program.beside(folder).run("inspect", "a.bin", "--from", "npz")

    assert found.code == 2
    assert "1 plugin(s) could not be loaded; see 'aprhub plugins'" in found.err


def test_a_file_that_nobody_recognises_reminds_of_broken_plugins(
    program: Program, plugin: Plugin, tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(b"what is this")
    folder = plugin("gone", BROKEN["import-error"][0])

    found = program.beside(folder).run("inspect", "a.bin")

    assert found.code == 3
    assert "some plugins could not be loaded" in found.err


@pytest.mark.parametrize("names", ["gone", "entry", "other, gone"])
def test_a_disabled_plugin_is_not_even_imported(
    program: Program, plugin: Plugin, names: str
) -> None:
    folder = plugin("gone", BROKEN["import-error"][0], entry="entry")

    found = program.beside(folder).without(names).run("plugins", "--strict-plugins")

    assert found.code == 0
    assert "broken" not in found.out


def test_a_plugin_that_provides_nothing_is_still_listed(
    program: Program, plugin: Plugin
) -> None:
    folder = plugin("idle", "")

    rows = program.beside(folder).run("plugins", "--json").json["plugins"]

    assert {
        "state": "empty",
        "kind": "-",
        "name": "-",
        "plugin": "idle (idle 1.0)",
    } in rows
