"""`aprhub run` and `aprhub bench`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aprhub.cli.options import echo_json, shared
from aprhub.cli.source import run_request
from aprhub.cli.source import source as source_options

F = TypeVar("F", bound=Callable[..., Any])

_POSITIVE = click.IntRange(min=1)


def counted(name: str, default: int, text: str, least: int = 1) -> Callable[[F], F]:
    """Return what adds an option for a count."""
    return click.option(
        name,
        type=click.IntRange(min=least),
        default=default,
        show_default=True,
        metavar="N",
        help=text,
    )


def length_option(default: int) -> Callable[[F], F]:
    """Return what adds `--max-tokens`."""
    return counted("--max-tokens", default, "Tokens to make at most.")


def speed_options(iterations: int, warmup: int) -> Callable[[F], F]:
    """Return what adds `--iterations` and `--warmup`."""
    how_often = "How often the speed is measured; the median counts."
    before = counted("--warmup", warmup, "Runs before those that count.", 0)
    counting = counted("--iterations", iterations, how_often)
    return lambda function: counting(before(function))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("prompt")
@length_option(128)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="T",
    help="Draw tokens at random; 0 takes the likeliest.",
)
@click.option("--top-k", type=_POSITIVE, metavar="K", help="Of the K likeliest only.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="P",
    help="Of the likeliest only that have a share P together.",
)
@click.option("--seed", default=0, show_default=True, metavar="N", help="Of chance.")
@source_options("MODEL")
@shared
def run(model: Path, prompt: str, **options: Any) -> None:
    """Go on with PROMPT, as MODEL would.

    For checking models, not for serving them: one text at a time, in f32, as it is
    computed from the file. It needs torch.
    """
    from aprhub.runs import generate
    from aprhub.sampling import Sampling

    names = ("max_tokens", "temperature", "top_k", "top_p", "seed")
    sampling = Sampling(**{name: options.pop(name) for name in names})
    chosen, plugins = run_request(options)
    made = generate(model, prompt, sampling, chosen, registry=plugins)
    as_json = options["as_json"]
    for piece in made:
        if not as_json:
            click.echo(piece, nl=False)
    if as_json:
        echo_json(made.as_json())
    else:
        click.echo()


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@length_option(128)
@speed_options(5, 1)
@click.option(
    "--floor",
    type=click.FloatRange(min=0),
    default=100.0,
    show_default=True,
    metavar="X",
    help="Tokens per second below which it is a failure.",
)
@source_options("MODEL")
@shared
def bench(model: Path, **options: Any) -> None:
    """Measure how many tokens MODEL makes in a second, and judge it by a floor.

    Each iteration goes on with a fixed prompt, one token at a time, in f32. It needs
    torch.
    """
    from aprhub.generating import Writer, speed

    names = ("max_tokens", "iterations", "floor", "warmup")
    wanted = [options.pop(name) for name in names]
    chosen, plugins = run_request(options)
    found = speed(Writer.of(model, chosen, plugins), *wanted)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        verdict = "at least" if found.passed else "less than"
        rate = f"{found.tokens_per_second:.1f} tokens/s"
        click.echo(f"{rate}, {verdict} the floor of {found.floor:g}")
    if not found.passed:
        raise SystemExit(1)
