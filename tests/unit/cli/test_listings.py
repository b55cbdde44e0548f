"""`aprhub plugins`, `formats`, `families` and `codecs`, with the plugins installed."""

import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from aprhub import Registry
from aprhub.cli import COMMANDS, main, subcommands
from aprhub.registry import Broken
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import succeed

LISTS = {
    "formats": ["extensions", "name", "plugin", "reads", "title", "writes"],
    "families": ["aliases", "classes", "ggml", "model_types", "name", "plugin"],
    "codecs": ["encoder", "name", "plugin", "source"],
}


def provided(registry: Registry, kind: str) -> list[str]:
    return [each.value.name for each in getattr(registry, kind)]


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_has_everything_that_is_provided(models: Models, kind: str) -> None:
    found = succeed(kind, "--json").json

    assert sorted(found) == sorted(["schema", kind])
    assert found["schema"] == 1
    assert [each["name"] for each in found[kind]] == provided(models.registry, kind)
    assert all(sorted(each) == LISTS[kind] for each in found[kind])


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_a_table_in_text(models: Models, kind: str) -> None:
    header, *rows = succeed(kind).out.splitlines()

    assert sorted(header.split()) == LISTS[kind]
    names = [row.split()[0] for row in rows]
    assert names == provided(models.registry, kind)


def test_formats_say_what_they_can() -> None:
    found = {
        each["name"]: each for each in succeed("formats", "--json").json["formats"]
    }

    assert found["gguf"]["extensions"] == [".gguf"]
    assert found["gguf"]["reads"]
    assert found["gguf"]["writes"]


def test_families_say_what_files_call_them() -> None:
    listed = succeed("families", "--json").json["families"]

    llama = next(each for each in listed if each["name"] == "llama")
    assert "LlamaForCausalLM" in llama["classes"]
    assert llama["ggml"] == "llama"


def test_plugins_say_what_each_provides(models: Models) -> None:
    rows = succeed("plugins", "--json").json["plugins"]

    found = {(each["kind"], each["name"]) for each in rows if each["state"] == "ok"}
    assert ("format", "gguf") in found
    assert ("naming", "hf") in found
    assert {name for kind, name in found if kind == "codec"} == set(
        provided(models.registry, "codecs")
    )


def test_plugins_are_a_table_in_text() -> None:
    header, *rows = succeed("plugins").out.splitlines()

    assert header.split() == ["state", "kind", "name", "plugin"]
    assert any(row.split()[:3] == ["ok", "format", "apr"] for row in rows)


def test_a_disabled_plugin_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APRHUB_DISABLE", "gguf, names, adapters")

    rows = succeed("plugins", "--json").json["plugins"]

    kinds = {(each["kind"], each["name"]) for each in rows}
    assert ("format", "gguf") not in kinds
    assert {name for kind, name in kinds if kind == "naming"} == set()
    assert ("format", "apr") in kinds


def test_a_host_hands_its_own_plugins_over() -> None:
    broken = Registry(broken=(Broken("theirs", ValueError("no")),))

    listed = CliRunner().invoke(main, ["formats", "--json"], obj=broken)
    strict = CliRunner().invoke(main, ["formats", "--strict-plugins"], obj=broken)

    assert json.loads(listed.stdout)["formats"] == []
    assert (strict.exit_code, "theirs: ValueError: no" in strict.stderr) == (3, True)


def test_every_command_is_listed_in_the_help() -> None:
    text = succeed("--help").out

    assert all(f"\n  {name} " in text for name in COMMANDS)


def commands(group: click.Group) -> Iterator[str]:
    """Yield the words of every command, those of groups included."""
    for name, command in subcommands(group).items():
        if isinstance(command, click.Group):
            yield from (f"{name} {each}" for each in commands(command))
        else:
            yield name


@pytest.mark.parametrize("command", sorted(commands(main)))
def test_every_command_explains_its_options(command: str) -> None:
    text = succeed(*command.split(), "--help").out

    assert f" {command} [OPTIONS]" in text
    pluggable = command.split()[0] not in ("contracts", "explain")
    assert {"--json", "--debug"} <= set(text.split())
    assert ("--strict-plugins" in text) == pluggable
