"""What kind of tokenizer a `tokenizer.json` is, in the words of ggml."""

from collections.abc import Mapping
from typing import Any, Final

from aprhub.errors import UnrepresentableError
from aprhub.tokenizer.document import FILE, Document, fault

BYTE_LEVEL: Final = "gpt2"
SENTENCEPIECE: Final = "llama"
UNIGRAM: Final = "t5"
WORDPIECE: Final = "bert"

SPACE: Final = "\u2581"
"""How SentencePiece spells a space."""

BYTE_TOKENS: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""How SentencePiece spells the bytes of characters that it has no token for."""
CONTINUED: Final = "##"
"""How WordPiece marks a token that continues a word."""

_CONTROL_NAMES: Final = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_CONTROL_SHAPES: Final = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
_MODELS: Final = {"Unigram": UNIGRAM, "WordPiece": WORDPIECE}


def kind_of(document: Document) -> str:
    """Return the kind, told by what the program does and never by a class name.

    Raises UnrepresentableError for a kind that no flat vocabulary can hold.
    """
    model = document.model.get("type", "BPE" if "merges" in document.model else None)
    if not isinstance(model, str):
        raise fault("model.type", f"{model!r:.80} found, a text expected")
    if model in _MODELS:
        return _MODELS[model]
    steps = (*document.steps("pre_tokenizer"), *document.steps("decoder"))
    if model == "BPE" and document.model.get("byte_fallback") is True:
        return SENTENCEPIECE
    if model == "BPE" and any(step["type"] == "ByteLevel" for step in steps):
        return BYTE_LEVEL
    raise UnrepresentableError(
        FILE,
        f"a {model} tokenizer that is neither byte-level nor made like SentencePiece"
        " has no flat form; write a Hugging Face folder with --naming keep, which keeps"
        " it",
    )


def looks_like_control(token: str) -> bool:
    """Return whether a token has the look of one that controls the model.

    Many files forget to call such tokens special, and runtimes go by the look.
    """
    return token in _CONTROL_NAMES or any(
        token.startswith(start) and token.endswith(end)
        for start, end in _CONTROL_SHAPES
    )


def prefixes_space(document: Document) -> bool | None:
    """Return whether a space is put in front of the text.

    None where the program does not spell spaces as SentencePiece does.
    """
    steps = (*document.steps("normalizer"), *document.steps("pre_tokenizer"))
    if not any(_spells_spaces(step) for step in steps):
        return None
    return any(_prefixes(step) for step in steps)


def _spells_spaces(step: Mapping[str, Any]) -> bool:
    return step["type"] == "Metaspace" or step.get("content") == SPACE


def _prefixes(step: Mapping[str, Any]) -> bool:
    if step["type"] == "Prepend":
        return step.get("prepend") == SPACE
    if step["type"] != "Metaspace":
        return False
    # `add_prefix_space` is how files from before `prepend_scheme` say it.
    scheme = step.get("prepend_scheme")
    return scheme != "never" if scheme else step.get("add_prefix_space") is not False
