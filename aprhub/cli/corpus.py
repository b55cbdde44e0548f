"""`aprhub corpus`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, refuse_given, registry, shared

if TYPE_CHECKING:
    from aprhub.corpus import Corpus
    from aprhub.spec.format import StoredModel

_OF_ALL = ("seq_len", "validation_fraction", "seed", "cache")
_OF_TEXT = ("text_key", "separator")
_OF_CHATS = ("too_long", "packed")


@click.command()
@click.argument(
    "sources",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DATA...",
)
@click.option(
    "--tokenizer",
    "model",
    type=click.Path(path_type=Path),
    required=True,
    metavar="MODEL",
    help="The model whose tokenizer is used.",
)
@click.option(
    "--seq-len",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Tokens in a sequence.",
)
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    metavar="F",
    help="Share of the documents that is kept apart.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Decides which those are."
)
@click.option(
    "--text-key",
    default="text",
    show_default=True,
    metavar="KEY",
    help="Key or column of the text in JSONL and Parquet files.",
)
@click.option(
    "--separator",
    metavar="TOKEN",
    help="Token that ends a document, instead of the model's end of text.",
)
@click.option(
    "--chats",
    is_flag=True,
    help="DATA is conversations in JSONL files; only answers are learnt.",
)
@click.option(
    "--too-long",
    type=click.Choice(["drop", "cut"]),
    default="drop",
    show_default=True,
    help="What to do with a conversation that fills more than a sequence.",
)
@click.option(
    "--packed", is_flag=True, help="As many conversations in a sequence as fit."
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where token ids are kept, instead of the user's cache.",
)
@shared
def corpus(sources: tuple[Path, ...], model: Path, **options: Any) -> None:
    """Tokenise DATA for training, once, and say what is in it.

    DATA is text (.txt, .md), JSONL (.jsonl, .ndjson) or Parquet files, or folders of
    them. `aprhub pretrain` with the same data and options finds what was made.
    """
    from aprhub.detect import identify

    stored = identify(model, registry(strict=options["strict_plugins"])).opened(model)
    found = _prepared(sources, stored, options)
    if options["as_json"]:
        echo_json(_described(found))
        return
    rows = _described(found)["parts"]
    echo_table([list(row.values()) for row in rows], list(rows[0]))
    if found.manifest.cut or found.manifest.dropped:
        too_long = f"{found.manifest.cut} cut, {found.manifest.dropped} dropped"
        click.echo(f"conversations that are too long: {too_long}")
    click.echo(f"{found.fingerprint} in {found.folder}")


def _prepared(
    sources: tuple[Path, ...], stored: "StoredModel", options: dict[str, Any]
) -> "Corpus":
    from aprhub.corpus import ChatOptions, CorpusOptions, prepared, prepared_chats

    chats = options["chats"]
    refuse_given(_OF_TEXT if chats else _OF_CHATS, "text" if chats else "--chats")
    names = _OF_ALL + (_OF_CHATS if chats else _OF_TEXT)
    asked = {name: options[name] for name in names}
    asked["vocab_size"] = stored.config.vocab_size
    if chats:
        return prepared_chats(sources, stored.tokenizer, ChatOptions(**asked))
    return prepared(sources, stored.tokenizer, CorpusOptions(**asked))


def _described(found: "Corpus") -> dict[str, Any]:
    return {
        "schema": 1,
        "fingerprint": found.fingerprint,
        "folder": str(found.folder),
        "cut": found.manifest.cut,
        "dropped": found.manifest.dropped,
        "parts": [
            {
                "part": name,
                "documents": extent.documents,
                "tokens": extent.tokens,
                "sequences": len(sequences),
            }
            for (name, extent), sequences in zip(
                found.manifest.parts.items(),
                (found.train, found.validation),
                strict=True,
            )
        ],
    }
