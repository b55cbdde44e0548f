"""`aprhub plugins`, `formats`, `families`, `codecs` and `methods`."""

from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, registry, shared

if TYPE_CHECKING:
    from aprhub.registry import Provided, Registry
    from aprhub.spec.merging import Parameter


@click.command()
@shared
def plugins(**options: Any) -> None:
    """List the plugins, what each provides, and those that are broken."""
    found = registry(strict=options["strict_plugins"])
    rows = _rows(found)
    if options["as_json"]:
        echo_json({"schema": 1, "plugins": rows})
    else:
        cells = [(r["state"], r["kind"], r["name"], _who(r)) for r in rows]
        echo_table(cells, ("state", "kind", "name", "plugin"))


def _who(row: dict[str, str]) -> str:
    return f"{row['plugin']}: {row['error']}" if "error" in row else row["plugin"]


def _rows(found: "Registry") -> list[dict[str, str]]:
    kinds: dict[str, tuple[Provided[Any], ...]] = {
        "format": found.formats,
        "naming": found.namings,
        "family": found.families,
        "codec": found.codecs,
        "packing": found.packings,
        "importance": found.importances,
        "adapter layout": found.adapter_layouts,
        "method": found.methods,
    }
    rows = [
        {
            "state": "contested" if _is_contested(each, provided) else "ok",
            "kind": kind,
            "name": each.value.name,
            "plugin": each.plugin,
        }
        for kind, provided in kinds.items()
        for each in provided
    ]
    useful = {row["plugin"] for row in rows} | {each.plugin for each in found.broken}
    empty = (plugin for plugin in found.plugins if plugin not in useful)
    return [
        *rows,
        *(_row("empty", plugin) for plugin in empty),
        *(_row("broken", each.plugin, error=each.cause) for each in found.broken),
    ]


def _row(state: str, plugin: str, **more: str) -> dict[str, str]:
    return {"state": state, "kind": "-", "name": "-", "plugin": plugin, **more}


def _is_contested(one: "Provided[Any]", provided: "tuple[Provided[Any], ...]") -> bool:
    names = [each.value.name for each in provided]
    return names.count(one.value.name) > 1


@click.command()
@shared
def formats(**options: Any) -> None:
    """List the file formats, and whether each is read and written."""
    found = registry(strict=options["strict_plugins"])
    rows = [
        {
            "name": each.value.name,
            "title": each.value.title,
            "extensions": list(each.value.extensions),
            "reads": each.value.open is not None,
            "writes": each.value.lay_out is not None,
            "plugin": each.plugin,
        }
        for each in found.formats
    ]
    _echo_rows(rows, "formats", as_json=options["as_json"])


@click.command()
@shared
def families(**options: Any) -> None:
    """List the architectures and the names that files use for them."""
    found = registry(strict=options["strict_plugins"])
    rows = [
        {
            "name": each.value.name,
            "ggml": each.value.ggml_architecture,
            "classes": list(each.value.hf_classes),
            "model_types": list(each.value.hf_model_types),
            "aliases": list(each.value.aliases),
            "plugin": each.plugin,
        }
        for each in found.families
    ]
    _echo_rows(rows, "families", as_json=options["as_json"])


@click.command()
@shared
def codecs(**options: Any) -> None:
    """List the quantised encodings, and who decodes and encodes them."""
    found = registry(strict=options["strict_plugins"])
    rows = [
        {
            "name": each.value.name,
            "source": each.value.source,
            "encoder": each.value.encoder,
            "plugin": each.plugin,
        }
        for each in found.codecs
    ]
    _echo_rows(rows, "codecs", as_json=options["as_json"])


@click.command()
@shared
def methods(**options: Any) -> None:
    """List the merge methods, with their parameters and defaults.

    A parameter in brackets has a value for each model besides the base.
    """
    found = registry(strict=options["strict_plugins"])
    rows = [
        {
            "name": each.value.name,
            "base": each.value.base,
            "models": "-".join(str(n) for n in each.value.models if n is not None),
            "looks_at": each.value.evaluation,
            "parameters": list(map(_parameter, each.value.parameters)),
            "plugin": each.plugin,
        }
        for each in found.methods
    ]
    _echo_rows(rows, "methods", as_json=options["as_json"])


def _parameter(each: "Parameter") -> str:
    name = f"[{each.name}]" if each.per_model else each.name
    return name if each.default is None else f"{name}={each.default:g}"


def _echo_rows(rows: list[dict[str, Any]], title: str, *, as_json: bool) -> None:
    if as_json:
        echo_json({"schema": 1, title: rows})
    elif rows:
        cells = [[_cell(value) for value in row.values()] for row in rows]
        echo_table(cells, tuple(rows[0]))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
