"""`aprhub contracts`: the group and its commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.explanation import echo_explanation
from aprhub.cli.options import echo_json, echo_table, printed

if TYPE_CHECKING:
    from aprhub.contracts.contract import Contract
    from aprhub.contracts.linting import Lint

_PATH = click.Path(path_type=Path)
_FOLDER = click.argument("folder", metavar="[DIR]", type=_PATH, required=False)
_ROOT = click.option(
    "--root",
    type=_PATH,
    default=Path(),
    metavar="FOLDER",
    help="Where tests and sources are looked for, instead of here.",
)


@click.group()
def contracts() -> None:
    """Read, lint and run contracts: promises that are bound to tests.

    Without DIR, these are the contracts that come with the program.
    """


@contracts.command()
@click.argument("files", metavar="FILE...", type=_PATH, nargs=-1, required=True)
@printed
def validate(files: tuple[Path, ...], **options: Any) -> None:
    """Check what each FILE says against the schema of contracts.

    The rules are those of 'pv validate'. The exit code is 1 when there is an error.
    """
    from aprhub.contracts.validation import counted, validated

    found = [finding for file in files for finding in validated(file)[1]]
    counts = counted(found)
    errors, warnings = counts.get("error", 0), counts.get("warning", 0)
    if options["as_json"]:
        listed = [each.as_json() for each in found]
        echo_json({"schema": 1, "valid": not errors, "findings": listed})
    else:
        for each in found:
            click.echo(str(each))
        click.echo(f"{errors} error(s), {warnings} warning(s)")
        click.echo("not valid" if errors else "valid")
    if errors:
        sys.exit(1)


@contracts.command()
@_FOLDER
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option(
    "--strict-test-binding",
    "binding",
    is_flag=True,
    help="Look up each test that is cited, and each id that sources show.",
)
@click.option(
    "--collect", is_flag=True, help="Ask pytest, too, whether it collects these tests."
)
@click.option(
    "--since",
    default="",
    metavar="REV",
    help="What git says changed since REV needs a new version and a changelog entry.",
)
@_ROOT
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="The form of the output; --json is short for json.",
)
@printed
def lint(folder: Path | None, **options: Any) -> None:
    """Look for what is wrong with the contracts in DIR, and with their bindings.

    The exit code is 1 when there is an error; a dangling test is a warning, unless
    --strict is given.
    """
    from aprhub.contracts.catalogue import SHIPPED
    from aprhub.contracts.linting import LintOptions
    from aprhub.contracts.linting import lint as look

    names = ("root", "strict", "binding", "collect", "since")
    found = look(folder or SHIPPED, LintOptions(*(options[name] for name in names)))
    _echo_lint(found, "json" if options["as_json"] else options["form"])
    if found.errors:
        sys.exit(1)


def _echo_lint(found: "Lint", form: str) -> None:
    from aprhub.contracts.rendering import github, sarif

    match form:
        case "json":
            echo_json(found.as_json())
        case "sarif":
            echo_json(sarif(found.findings))
        case "github":
            click.echo("\n".join(github(found.findings)), nl=bool(found.findings))
        case _:
            _echo_text(found)


def _echo_text(found: "Lint") -> None:
    for each in found.findings:
        click.echo(str(each))
    warnings = len(found.findings) - found.errors
    total = f"{found.errors} error(s), {warnings} warning(s)"
    click.echo(f"{found.contracts} contract(s): {total}")
    if found.judged:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found.judged.items()))
        falsifiers = sum(found.judged.values())
        click.echo(f"{falsifiers} falsifier(s): {kinds}")
        click.echo(f"{found.unjudged} could not be judged")


@contracts.command()
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@click.option("--dir", "folder", type=_PATH, help="A folder of other contracts.")
@_ROOT
@printed
def run(identifiers: tuple[str, ...], folder: Path | None, **options: Any) -> None:
    """Run the tests that the contracts of these IDs, or all, are bound to.

    Needs pytest and a checkout. The exit code is 1 when a falsifier does not hold.
    """
    from aprhub.contracts.catalogue import named
    from aprhub.contracts.running import run as run_tests

    among = _contracts(folder)
    wanted = [named(name, among) for name in identifiers] or among
    found = run_tests(wanted, options["root"])
    if options["as_json"]:
        echo_json({"schema": 1, "falsifiers": [each.as_json() for each in found]})
    else:
        rows = [
            (each.contract, each.falsifier, sum(each.tests.values()), each.outcome)
            for each in found
        ]
        echo_table(rows, ("contract", "falsifier", "tests", "outcome"))
    if any(each.outcome not in ("held", "not run") for each in found):
        sys.exit(1)


@contracts.command("list")
@_FOLDER
@printed
def list_(folder: Path | None, **options: Any) -> None:
    """List the contracts in DIR, and which of them 'aprhub check' runs on a file."""
    from aprhub.contracts.checking import DEMANDS

    rows = [
        {
            "name": each.name,
            "id": each.id,
            "kind": each.kind,
            "status": each.status,
            "falsifiers": len(each.falsifiers),
            "check": folder is None and each.name in DEMANDS,
        }
        for each in _contracts(folder)
    ]
    if options["as_json"]:
        echo_json({"schema": 1, "contracts": rows})
    elif rows:
        flags = [{**row, "check": "yes" if row["check"] else "no"} for row in rows]
        echo_table([tuple(row.values()) for row in flags], tuple(rows[0]))


@contracts.command()
@_FOLDER
@printed
def coverage(folder: Path | None, **options: Any) -> None:
    """Count what each contract in DIR claims, and how much of it is bound to tests."""
    from aprhub.contracts.catalogue import coverage as count

    rows = [each.as_json() for each in count(_contracts(folder))]
    if options["as_json"]:
        echo_json({"schema": 1, "contracts": rows})
    elif rows:
        echo_table([tuple(row.values()) for row in rows], tuple(rows[0]))


@contracts.command()
@click.argument("identifier", metavar="ID")
@printed
def explain(identifier: str, **options: Any) -> None:
    """Explain ID, a contract, a falsifier or a rule, as 'aprhub explain' does."""
    echo_explanation(identifier, as_json=options["as_json"])


def _contracts(folder: Path | None) -> "list[Contract]":
    from aprhub.contracts.catalogue import SHIPPED
    from aprhub.contracts.catalogue import contracts as read

    return read(folder or SHIPPED)
