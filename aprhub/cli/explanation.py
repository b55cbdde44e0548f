"""`aprhub explain`."""

from typing import Any

import click

from aprhub.cli.options import echo_json, printed


@click.command()
@click.argument("identifier", metavar="ID", required=False)
@click.option("--list", "listed", is_flag=True, help="List the ids there are.")
@printed
def explain(identifier: str | None, **options: Any) -> None:
    """Explain ID, which an error, a finding or a contract has shown.

    A page says what it means, why it matters, and how to repair it.
    """
    if options["listed"] == bool(identifier):
        raise click.UsageError("say one of both: an ID, or --list")
    if identifier:
        echo_explanation(identifier, as_json=options["as_json"])
    else:
        _echo_ids(as_json=options["as_json"])


def echo_explanation(identifier: str, *, as_json: bool) -> None:
    """Print the page of an id."""
    from aprhub.contracts.catalogue import contracts
    from aprhub.contracts.explaining import explained
    from aprhub.explanations import HEADINGS

    page = explained(identifier, contracts())
    if as_json:
        sections = zip(map(str.lower, HEADINGS), page.sections, strict=True)
        said = {"id": page.id, "sentence": page.sentence, **dict(sections)}
        echo_json({"schema": 1, **said})
    else:
        click.echo(str(page))


def _echo_ids(*, as_json: bool) -> None:
    from aprhub.contracts.catalogue import contracts
    from aprhub.contracts.explaining import explainable

    ids = explainable(contracts())
    if as_json:
        echo_json({"schema": 1, "ids": ids})
    else:
        click.echo("\n".join(ids))
