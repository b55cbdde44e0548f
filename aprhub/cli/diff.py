"""`aprhub diff`."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, registry, shared
from aprhub.cli.text import NAMES, refuse_text_options, text_options

if TYPE_CHECKING:
    from aprhub.decoder.divergence import Divergence
    from aprhub.difference import Difference
    from aprhub.fidelity import Fidelity, TensorFidelity


@click.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option(
    "--naming",
    metavar="NAMING",
    help="'keep' compares names as they are stored; else the naming of both.",
)
@click.option(
    "--family", metavar="FAMILY", help="Family of both, instead of what they claim."
)
@click.option(
    "--quant",
    "measured",
    is_flag=True,
    help="Measure instead how close OTHER's values come to ONE's; the exit code is 0.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the measures by role and layer into FILE, .html or .png; implies"
    " --quant.",
)
@click.option("--force", is_flag=True, help="Replace the picture if it exists.")
@click.option(
    "--kl",
    "text",
    type=click.Path(path_type=Path),
    metavar="TEXT",
    help="Measure on TEXT instead how far OTHER's predictions are from ONE's; the exit"
    " code is 0. It needs torch.",
)
@text_options
@shared
def diff(one: Path, other: Path, **options: Any) -> None:
    """Compare two models, of any formats, tensor by tensor.

    Names and layouts are compared in canonical form, so a faithful conversion has no
    differences. The exit code is 1 when the values differ.
    """
    chosen = {
        "naming": options["naming"],
        "family": options["family"],
        "registry": registry(strict=options["strict_plugins"]),
    }
    measured = options["measured"] or options["plot"]
    if options["text"] and measured:
        raise click.UsageError("--kl and --quant measure different things: say one")
    if options["text"]:
        _diverge(one, other, options)
        return
    refuse_text_options("--kl")
    if measured:
        _measure(one, other, chosen, options)
    else:
        _compare(one, other, chosen, options)


def _measure(
    one: Path, other: Path, chosen: dict[str, Any], options: dict[str, Any]
) -> None:
    from aprhub.front import measure

    plot = options["plot"]
    if plot:
        from aprhub.pictures import draw_fidelity, require_drawable

        require_drawable(plot, force=options["force"])
    found = measure(one, other, **chosen)
    if plot:
        draw_fidelity(found, plot)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo_fidelity(found)


def _echo_fidelity(found: "Fidelity") -> None:
    header = ("name", "from", "to", "rmse", "snr_db", "cosine", "max_error")
    total = ("all", "", "", *_numbers(found.total))
    rows = [(each.name, *each.encodings, *_numbers(each)) for each in found.tensors]
    echo_table([*rows, total], header)


def _numbers(each: "TensorFidelity") -> tuple[str, ...]:
    measures = f"{each.rmse:.4g}", f"{each.snr_db:.2f}", f"{each.cosine:.6f}"
    return *measures, f"{each.max_error:.4g}"


def _compare(
    one: Path, other: Path, chosen: dict[str, Any], options: dict[str, Any]
) -> None:
    from aprhub.front import diff as run

    found = run(one, other, **chosen)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo(found)
    if not found.is_empty:
        sys.exit(1)


def _diverge(one: Path, other: Path, options: dict[str, Any]) -> None:
    from aprhub.options import RunOptions
    from aprhub.runs import divergence

    names = ("naming", "family", *NAMES)
    found = divergence(
        one,
        other,
        options["text"],
        RunOptions(**{name: options[name] for name in names}),
        registry=registry(strict=options["strict_plugins"]),
    )
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo_divergence(found)


def _echo_divergence(found: "Divergence") -> None:
    click.echo(f"{found.chunks} chunks of {found.chunk_size} tokens")
    names = ("mean", "median", "p90", "p95", "p99", "max")
    rows = [(f"KL {name}", f"{getattr(found, name):.6f}") for name in names]
    echo_table([*rows, ("same top", f"{found.same_top:.6f}")])


def _echo(found: "Difference") -> None:
    from aprhub.difference import EQUAL

    counts = Counter(each.outcome for each in found.tensors)
    renamed = sum(each.renamed for each in found.tensors)
    listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    click.echo(f"{len(found.tensors)} tensors: {listed}; {renamed} renamed")
    _echo_widened(found)
    for each in found.tensors:
        if each.outcome not in EQUAL:
            error = "" if each.max_error is None else f", max error {each.max_error:g}"
            detail = f" ({each.detail}{error})" if each.detail else ""
            click.echo(f"  {each.name}: {each.outcome}{detail}")
    for name, (left, right) in found.config.items():
        click.echo(f"  config {name}: {left} and {right}")
    for text in found.tokenizer:
        click.echo(f"  tokenizer: {text}")


def _echo_widened(found: "Difference") -> None:
    """Say in which encodings values are equal that are stored in two."""
    pairs = Counter(each.detail for each in found.tensors if each.outcome == "widened")
    for pair, count in pairs.most_common():
        click.echo(f"  {count} with equal values in {pair}")
