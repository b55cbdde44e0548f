"""`aprhub qa`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aprhub.cli.options import echo_json, echo_table, shared
from aprhub.cli.run import length_option, speed_options
from aprhub.cli.source import run_request
from aprhub.cli.source import source as source_options

F = TypeVar("F", bound=Callable[..., Any])

GATES = (
    *("container", "tensors", "metadata", "identity", "tokenizer", "forward"),
    *("golden_output", "format_parity", "throughput"),
)


def _skips(function: F) -> F:
    """Add `--skip-GATE` for each gate."""
    for gate in reversed(GATES):
        words = gate.replace("_", "-")
        name = f"skip_{gate}"
        function = click.option(f"--skip-{words}", name, is_flag=True)(function)
    return function


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another file of the same model, for format_parity.",
)
@click.option(
    "--assert-tps",
    "floor",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Tokens per second that throughput demands.",
)
@length_option(32)
@speed_options(10, 3)
@click.option(
    "--min-executed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Fail where fewer gates than N could be asked.",
)
@_skips
@source_options("MODEL")
@shared
def qa(model: Path, **options: Any) -> None:
    """Send MODEL through the gates that it has to pass before anybody relies on it.

    container, tensors, metadata, identity and tokenizer judge the file; forward that
    it computes; golden_output that it has learned English; format_parity that another
    file of it computes the same; throughput its speed. It needs torch.
    """
    from aprhub.acceptance.gates import accepted
    from aprhub.acceptance.verdicts import AcceptanceOptions

    skipped = frozenset(gate for gate in GATES if options.pop(f"skip_{gate}"))
    names = (
        *("against", "floor", "max_tokens", "iterations", "warmup", "min_executed"),
    )
    wanted = {name: options.pop(name) for name in names}
    chosen, plugins = run_request(options)
    asked = AcceptanceOptions(skipped=skipped, run=chosen, **wanted)
    found = accepted(model, asked, plugins)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        rows = [[each.outcome, each.gate, each.reason] for each in found.verdicts]
        echo_table(rows)
    if not found.passed:
        raise SystemExit(1)
