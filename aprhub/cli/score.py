"""`aprhub eval`."""

from pathlib import Path
from typing import Any

import click

from aprhub.cli.options import echo_json, shared
from aprhub.cli.source import run_request
from aprhub.cli.source import source as source_options
from aprhub.cli.text import text_options


@click.command("eval")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", type=click.Path(path_type=Path))
@text_options
@source_options("MODEL")
@shared
def score(model: Path, text: Path, **options: Any) -> None:
    """Score TEXT by how well MODEL foretells each token of it.

    Prints the loss, in nats per token, and the perplexity. Every chunk stands alone,
    and all of its tokens but the first are foretold. It needs torch.
    """
    from aprhub.runs import evaluate

    chosen, plugins = run_request(options)
    found = evaluate(model, text, chosen, registry=plugins)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        click.echo(
            f"loss {found.loss:.4f}, perplexity {found.perplexity:.3f}"
            f" ({found.tokens} tokens in {found.chunks} chunks)"
        )
