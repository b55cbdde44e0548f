"""`aprhub inspect`."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from aprhub.cli.options import (
    echo_json,
    echo_table,
    human_bytes,
    printable,
    registry,
    shared,
)
from aprhub.cli.source import fit_of, opened, source

if TYPE_CHECKING:
    from aprhub.identity import Fit
    from aprhub.registry import Registry
    from aprhub.scoring import Quality
    from aprhub.spec.format import StoredModel

LINE = 100
"""How many characters of one value are shown."""

_NOTHING: tuple[object, ...] = (None, (), [], {})


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@source("FILE")
@click.option(
    "--quality",
    is_flag=True,
    help="Score how fit FILE is to be published, from 0 to 100, and say what it lacks.",
)
@click.option(
    "--min-score",
    type=click.IntRange(0, 100),
    metavar="N",
    help="With --quality: the exit code is 1 below this score.",
)
@shared
def inspect(
    file: Path, *, quality: bool, min_score: int | None, **options: Any
) -> None:
    """Show what FILE is and what it says of itself. No weights are read."""
    if min_score is not None and not quality:
        raise click.UsageError("--min-score belongs to --quality; give both")
    if quality:
        _score(file, min_score or 0, options)
        return
    stored, plugins = opened(file, options)
    described = _described(stored, *fit_of(stored, plugins, options))
    if options["as_json"]:
        echo_json({**described, "metadata": _metadata(file, plugins, options)})
    else:
        _echo(described)


def _metadata(
    file: Path, plugins: "Registry", options: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the keys of the file itself; of long values, a digest."""
    from aprhub.detect import identify
    from aprhub.stamping.report import brief

    read = identify(file, plugins, options["source_format"]).metadata
    if read is None:
        return None
    return {key: brief(value) for key, value in read(file).items()}


def _score(file: Path, least: int, options: dict[str, Any]) -> None:
    from aprhub.front import quality

    plugins = registry(strict=options["strict_plugins"])
    found = quality(file, source_format=options["source_format"], registry=plugins)
    if options["as_json"]:
        quality_block = {**found.as_json(), "min_score": least}
        about_file = {"schema": 1, "path": str(found.path), "format": found.format}
        echo_json({**about_file, "quality": quality_block})
    else:
        _echo_quality(found)
    if found.score < least:
        sys.exit(1)


def _echo_quality(found: "Quality") -> None:
    from aprhub.scoring import QUESTIONS, THRESHOLD

    ready = "ready" if found.score >= THRESHOLD else f"not ready, {THRESHOLD} needed"
    click.echo(f"{found.path}: {found.score} of 100 ({found.format}), {ready}")
    most = {part: sum(points.values()) for part, points in QUESTIONS.items()}
    echo_table((name, got, most[name]) for name, got in found.breakdown.items())
    for lack in found.lacks:
        click.echo(printable(f"-{lack.points} {lack.question}: {lack.why}"))
        click.echo(printable(f"    {lack.repair}"))


def _described(
    stored: "StoredModel", fit: "Fit | None", finding: str | None
) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for tensor in stored.tensors.values():
        counts[tensor.encoding.name] += 1
        sizes[tensor.encoding.name] += tensor.nbytes
    return {
        "schema": 1,
        "path": str(stored.path),
        "format": stored.format,
        "family": fit.family.name if fit else None,
        "config": stored.config.known(),
        "tensors": len(stored.tensors),
        "parameters": sum(tensor.size for tensor in stored.tensors.values()),
        "bytes": sum(sizes.values()),
        "encodings": {
            name: {"tensors": counts[name], "bytes": size}
            for name, size in sizes.most_common()
        },
        "tokenizer": _tokenizer(stored),
        "sampling": stored.sampling.known(),
        "provenance": asdict(stored.provenance),
        "carried": {world: sorted(keys) for world, keys in stored.carried.items()},
        "notes": [*stored.notes, *_about_parts(stored, fit)],
        "findings": [finding] if finding else [],
    }


def _about_parts(stored: "StoredModel", fit: "Fit | None") -> list[str]:
    if stored.text_part is None or fit is None:
        return []
    count = len(fit.unknown)
    return [f"the family is that of its text model; {count} tensors are no part of it"]


def _tokenizer(stored: "StoredModel") -> dict[str, Any] | None:
    tokenizer = stored.tokenizer
    if tokenizer is None:
        return None
    flat = tokenizer.flat
    return {
        "model": flat.model if flat else "tokenizer.json",
        "pre": flat.pre if flat else None,
        "tokens": len(flat.tokens) if flat else None,
        "special_ids": dict(tokenizer.special_ids),
        "chat_template": tokenizer.chat_template is not None,
    }


def _echo(described: dict[str, Any]) -> None:
    size = human_bytes(described["bytes"])
    family = described["family"] or "unknown family"
    click.echo(f"{described['path']}: {described['format']}, {family}")
    click.echo(
        f"{described['tensors']} tensors, {described['parameters']:,} parameters,"
        f" {size}"
    )
    rows = [
        (name, each["tensors"], human_bytes(each["bytes"]))
        for name, each in described["encodings"].items()
    ]
    echo_table(rows, ("encoding", "tensors", "size"))
    for title in ("config", "tokenizer", "sampling", "provenance", "carried"):
        _echo_section(title, described[title])
    for kind in ("notes", "findings"):
        for text in described[kind]:
            lines = map(printable, text.splitlines())
            click.echo(f"{kind[:-1]}: " + "\n".join(lines))


def _echo_section(title: str, values: dict[str, Any] | None) -> None:
    shown = {k: v for k, v in (values or {}).items() if v not in _NOTHING}
    if not shown:
        return
    click.echo(f"{title}:")
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"  {name:<{width}}  {_short(_worded(value))}")


def _worded(value: object) -> str:
    """Return a value of JSON as words, without what is empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        known = {key: each for key, each in value.items() if each not in _NOTHING}
        return ", ".join(f"{key} {_worded(each)}" for key, each in known.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_worded, value))
    return printable(str(value))


def _short(text: str) -> str:
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"
