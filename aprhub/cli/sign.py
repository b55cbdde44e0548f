"""`aprhub sign` and `aprhub manifest`."""

from pathlib import Path
from typing import Any

import click

from aprhub.cli.options import echo_json, echo_table, shared
from aprhub.cli.source import read_canonical, source

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_PATH)
@source("FILE")
@shared
def manifest(file: Path, **options: Any) -> None:
    """List the files of the model FILE with their hashes, and the hash of the model.

    The root is the digest that a signature of OpenSSF model signing is of.
    """
    from aprhub.manifest import manifest as listed

    found = listed(*read_canonical(file, options))
    if options["as_json"]:
        echo_json(found.as_json())
        return
    header = ("sha256", "bytes", "file")
    echo_table([(each.sha256, each.nbytes, each.name) for each in found.files], header)
    echo_table([("model", found.model), ("root", found.root)])


@click.group()
def sign() -> None:
    """Sign models with a key, and check signatures (OpenSSF model signing)."""


@sign.command()
@click.argument("file", type=_PATH)
@click.option(
    "-o", "signature", required=True, type=_PATH, metavar="SIG", help="What to write."
)
@click.option(
    "--key", required=True, type=_PATH, metavar="PEM", help="Your private key."
)
@click.option("--force", is_flag=True, help="Replace SIG if it exists.")
@source("FILE")
@shared
def create(file: Path, **options: Any) -> None:
    """Sign the model FILE; it has to be one that can be opened."""
    from aprhub.errors import UsageError
    from aprhub.manifest import model_files
    from aprhub.signing import sign as run

    stored, _ = read_canonical(file, options)
    count = len(model_files(stored))
    if count > 1 and not stored.path.is_dir():
        raise UsageError(
            f"{file}: is one of {count} files of a model; sign a folder that holds them"
        )
    signature, key = options["signature"], options["key"]
    run(stored.path, signature, key, force=options["force"])
    if options["as_json"]:
        echo_json({"schema": 1, "path": str(file), "signature": str(signature)})
    else:
        click.echo(f"signed {file}: {signature}")


@sign.command()
@click.argument("file", type=_PATH)
@click.argument("signature", type=_PATH)
@click.option(
    "--key", required=True, type=_PATH, metavar="PEM", help="The signer's public key."
)
@shared
def verify(file: Path, signature: Path, **options: Any) -> None:
    """Check that FILE is what the owner of a key signed in SIGNATURE.

    The exit code is 1 where a file was changed, added or removed, or where another key
    signed.
    """
    from aprhub.signing import verify_signature

    verify_signature(file, signature, options["key"])
    if options["as_json"]:
        echo_json({"schema": 1, "path": str(file), "signature": str(signature)})
    else:
        click.echo(f"{file} is what was signed")
