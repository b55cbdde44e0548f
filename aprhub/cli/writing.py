"""Options of commands that write a model, and what these commands print."""

import sys
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.options import echo_json, human_bytes, registry

if TYPE_CHECKING:
    from aprhub.conversion import Announce
    from aprhub.ir.casting import Loss
    from aprhub.report import Report

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def size(text: str) -> int:
    """Return a number of bytes: 5000000000, 5G (decimal) or 5GiB (binary)."""
    upper = text.strip().upper().removesuffix("B")
    number = upper.rstrip("KMGTI")
    unit = {**UNITS, **BINARY}.get(upper[len(number) :])
    if unit is None or not number.replace(".", "", 1).isdecimal():
        what = f"{text!r:.80} is not a size; give one such as 5G, 500M or 2GiB"
        raise click.BadParameter(what)
    return int(Decimal(number) * unit)


_OPTIONS = (
    click.option(
        "--to",
        "target_format",
        metavar="FORMAT",
        help="Format of TARGET, instead of its extension's.",
    ),
    click.option(
        "--shard-size",
        type=size,
        metavar="SIZE",
        help="Split TARGET: at most this much of tensors in a file, as 5G or 2GiB.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Print files and sizes; write nothing."
    ),
    click.option(
        "--lossy",
        is_flag=True,
        help="Allow what loses something, and say what was lost.",
    ),
    click.option("--force", is_flag=True, help="Replace TARGET if it exists."),
    click.option(
        "--allow-unrunnable",
        is_flag=True,
        help="Write a model that TARGET's programs would refuse, and say why.",
    ),
    click.option(
        "--allow-damaged",
        is_flag=True,
        help="Take a source whose own checksum is wrong, and say so.",
    ),
    click.option(
        "--verify",
        is_flag=False,
        flag_value="values",
        type=click.Choice(["names", "values", "bytes", "logits"]),
        help="Compare the output with SOURCE before it is put in place: its values,"
        " unless a level is given. Before a path, write --verify=LEVEL.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="If interrupted, leave what is written in a hidden folder beside TARGET,"
        " from where the same command goes on.",
    ),
    click.option(
        "--hash",
        "hash_inputs",
        is_flag=True,
        help="Record the hash of each input in the lineage, instead of a fingerprint"
        " of its table of tensors. All inputs are read once more.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="List every tensor and key."),
)


def output(function: F) -> F:
    """Add what says where and how a model is written."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def write(source: Path, target: Path, options: dict[str, Any]) -> None:
    """Convert as the options of a command say, and print the report."""
    from aprhub.front import convert

    perform(options, partial(convert, source, target), echo_report)


def perform(
    options: dict[str, Any], run: Callable[..., Any], echo: Callable[..., None]
) -> None:
    """Run what writes a model as the options of a command say, and print its report.

    `run` takes the ConvertOptions, the registry and what to announce progress to;
    `echo` the report and whether to be verbose.
    """
    from aprhub.options import ConvertOptions

    announce = progress(options)
    quiet, verbose = options.pop("quiet"), options.pop("verbose")
    as_json = options.pop("as_json")
    options.pop("debug")
    plugins = registry(strict=options.pop("strict_plugins"))
    told = ConvertOptions(**options, apart=True)
    report = run(told, registry=plugins, announce=announce)
    if as_json:
        echo_json(report.as_json())
    elif not quiet:
        echo(report, verbose=verbose)


def progress(options: dict[str, Any]) -> "Announce | None":
    """Return what shows progress, where there is a terminal that wants to know."""
    silent = options["quiet"] or options["as_json"]
    return _progress_bar if sys.stderr.isatty() and not silent else None


def _progress_bar(total: int) -> Any:
    """Return what advances a progress bar on the terminal; the Announce protocol."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=total)
    bar.start()
    click.get_current_context().call_on_close(bar.stop)
    return lambda count: bar.advance(task, count)


def echo_report(report: "Report", *, verbose: bool) -> None:
    """Print the report of something written."""
    verb = "would write" if report.dry_run else "wrote"
    family = report.family or "names kept"
    click.echo(
        f"{report.source} ({report.source_format}, {family}) ->"
        f" {report.target} ({report.target_format})"
    )
    for file in report.files:
        click.echo(f"  {verb} {file.path}: {file.nbytes} bytes")
    _echo_tensors(report, verbose=verbose)
    _echo_keys(report, verbose=verbose)
    _echo_losses(report, verbose=verbose)
    for note in report.notes:
        click.echo(f"  note: {note}")
    for fault in report.unrunnable:
        click.echo(f"  would not run: {fault}")
    verified = f", verified by {report.verified}" if report.verified else ""
    size = human_bytes(report.nbytes)
    click.echo(f"  {size} in {report.seconds:.2f} s{verified}")


def _echo_losses(report: "Report", *, verbose: bool) -> None:
    """Say what casts lost in all; tensors only where more than rounding happened."""
    from aprhub.ir.casting import Loss

    if not report.losses:
        return
    _echo_loss(f"{len(report.losses)} tensors", sum(report.losses.values(), Loss()))
    for name, loss in report.losses.items():
        if verbose or loss.overflowed or loss.flushed:
            _echo_loss(name, loss)


def _echo_loss(where: str, loss: "Loss") -> None:
    click.echo(
        f"  lost in {where}: {loss.rounded} values rounded, {loss.overflowed} out"
        f" of range, {loss.flushed} to zero"
    )


def _echo_tensors(report: "Report", *, verbose: bool) -> None:
    copied = sum(tensor.is_copied for tensor in report.tensors)
    steps = ", ".join(f"{count} {step}" for step, count in report.steps().most_common())
    tail = f": {steps}" if steps else ""
    click.echo(f"  {len(report.tensors)} tensors, {copied} kept bit for bit{tail}")
    planned = report.dry_run and any("quantised" in step for step in report.steps())
    for tensor in report.tensors if verbose or planned else ():
        done = ", ".join(tensor.steps) or "copied"
        click.echo(
            f"    {tensor.source or '-'} -> {tensor.target or '-'}"
            f" {list(tensor.shape)} {tensor.encoding}, {tensor.nbytes} bytes: {done}"
        )


def _echo_keys(report: "Report", *, verbose: bool) -> None:
    counts: dict[str, int] = {}
    for key in report.keys:
        counts[key.fate] = counts.get(key.fate, 0) + 1
    listed = ", ".join(f"{count} {fate}" for fate, count in sorted(counts.items()))
    tail = f": {listed}" if listed else ""
    click.echo(f"  {len(report.keys)} metadata keys{tail}")
    for key in report.keys:
        if verbose or key.fate == "dropped":
            why = f" ({key.why})" if key.why else ""
            click.echo(f"    {key.key}: {key.fate} {key.into}{why}".rstrip())
