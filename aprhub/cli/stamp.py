"""`aprhub stamp`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.options import echo_json, echo_table, human_bytes, registry, shared

if TYPE_CHECKING:
    from aprhub.stamping.options import StampOptions
    from aprhub.stamping.report import StampReport

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_LINE = 60
"""How many characters of one value are shown."""

_PROVENANCE = {
    "license": ("SPDX", "Its licence: an SPDX identifier or expression."),
    "data_source": ("TEXT", "What it was trained on."),
    "data_license": ("SPDX", "The licence of that."),
    "name": ("TEXT", "What it is called."),
    "author": ("TEXT", "Who made it."),
    "description": ("TEXT", "What it is."),
    "version": ("TEXT", "Which version it is."),
    "source": ("URI", "Where it comes from, such as hf://ORG/NAME."),
}
_IDENTITY = {
    "architecture": ("NAME", "What APR and GGUF call its architecture."),
    "hf_class": ("CLASS", "Its class in transformers, such as Qwen2ForCausalLM."),
    "hf_model_type": ("NAME", "The model_type of its config.json."),
}


def _words(function: F) -> F:
    """Add an option for each field of a provenance and an identity."""
    for name, (metavar, text) in reversed([*_PROVENANCE.items(), *_IDENTITY.items()]):
        spelled = f"--{name.replace('_', '-')}"
        names = ("--hf-architecture", spelled) if name == "hf_class" else (spelled,)
        option = click.option(*names, name, metavar=metavar, help=text)
        function = option(function)
    return function


@click.command()
@click.argument("file", type=_PATH)
@click.option("-o", "--output", "target", type=_PATH, help="Write a copy there.")
@click.option("--in-place", is_flag=True, help="Replace FILE, in one step.")
@_words
@click.option(
    "--tokenizer",
    type=_PATH,
    metavar="PATH",
    help="Embed a tokenizer: of a folder, of a tokenizer.json, or of another model.",
)
@click.option(
    "--chat-template",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="TEXTFILE",
    help="Use this chat template.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY[:TYPE]=VALUE",
    help="Set a key of the format's own. TYPE is str, int, float, bool, json or one of"
    " GGUF's, such as u32; without it, the type of the value that is there.",
)
@click.option("--unset", multiple=True, metavar="KEY", help="Remove a key.")
@click.option("--force", "-f", is_flag=True, help="Replace the output if it exists.")
@click.option("--dry-run", is_flag=True, help="Check and print; write nothing.")
@click.option(
    "--verify", is_flag=True, help="Read the output again and compare all tensors."
)
@click.option(
    "--from",
    "source_format",
    metavar="FORMAT",
    help="Format of FILE, instead of detecting it.",
)
@shared
def stamp(file: Path, target: Path | None, *, in_place: bool, **options: Any) -> None:
    """Say anew what FILE, a model file or folder, says of itself.

    No byte of a tensor changes. What would contradict the tensors is refused, and so
    is what the format cannot say.
    """
    from aprhub.front import stamp as run

    if (target is None) != in_place:
        raise click.UsageError("say either -o OUTPUT or --in-place")
    plugins = registry(strict=options["strict_plugins"])
    report = run(file, _options(options), target, registry=plugins)
    if options["as_json"]:
        echo_json(report.as_json())
    else:
        _echo(report)


def _options(options: Mapping[str, Any]) -> "StampOptions":
    from aprhub.spec.stamp import Setting
    from aprhub.stamping.options import StampOptions

    same = ("tokenizer", "unset", "source_format", "force", "dry_run", "verify")
    return StampOptions(
        _said(options, _PROVENANCE),
        _said(options, _IDENTITY),
        chat_template=_text(options["chat_template"]),
        settings=dict(Setting.parse(words) for words in options["settings"]),
        **{name: options[name] for name in same},
    )


def _text(path: Path | None) -> str | None:
    try:
        return None if path is None else path.read_text("utf-8")
    except UnicodeDecodeError as error:
        what = f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"
        raise click.UsageError(what) from error


def _said(options: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, str]:
    return {name: options[name] for name in names if options[name] is not None}


def _echo(report: "StampReport") -> None:
    verb = "would write" if report.dry_run else "wrote"
    click.echo(f"{report.source} -> {report.target} ({report.format})")
    rows = [
        (each.key, _short(each.before), "->", _short(each.after))
        for each in report.changes
    ]
    if rows:
        echo_table(rows)
    for file in report.files:
        click.echo(f"  {verb} {file.path}: {file.nbytes} bytes")
    same = f", the same as before: sha256 {report.sha256}" if report.sha256 else ""
    size = human_bytes(report.nbytes)
    click.echo(f"  {report.tensors} tensors untouched, {size}{same}")
    for note in report.notes:
        click.echo(f"  note: {note}")


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping) and "type" in value:
        value = value["value"]
    if isinstance(value, list | tuple):
        return f"{len(value)} items"
    text = str(value)
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
