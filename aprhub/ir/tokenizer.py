"""Tokenizer: everything that is needed to turn text into ids and back.

Two forms exist. A `tokenizer.json` is the program (normaliser, pre-tokeniser, model,
post-processor, decoder). A flat vocabulary is what GGUF and APR store: lists indexed
by id, and a name for the pre-tokeniser. A source gives one or both; `aprhub.tokenizer`
derives the other.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError

NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
BYTE: Final = 6

_same_array = cmp_using(eq=np.array_equal)


def _frozen_mapping(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


Program = str | bytes
"""The text of a `tokenizer.json`, or its bytes in UTF-8, which take less memory."""


def encoded(program: Program) -> bytes:
    """Return the bytes of a `tokenizer.json`.

    Raises UnrepresentableError for a text that is not valid Unicode.
    """
    try:
        return program.encode() if isinstance(program, str) else program
    except UnicodeEncodeError as error:
        odd = f"{error.object[max(error.start - 20, 0) : error.end]!a}"
        what = f"not valid Unicode ({error.reason}); correct {odd} in the source"
        raise UnrepresentableError("tokenizer.json", what) from error


def _bytes(json: Program | Callable[[], Program] | None) -> bytes | None:
    program = json() if callable(json) else json
    return None if program is None else encoded(program)


@frozen
class FlatVocabulary:
    """A vocabulary as lists indexed by token id, in the words of ggml.

    `model` is `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `t5` (Unigram),
    `bert` (WordPiece), …; `pre` names the pre-tokeniser. `types` holds the codes above,
    `scores` is f32, `merges` are `"left right"` in rank order; each is None where the
    source has none. `tokens` and `merges` may be columns (`aprhub.ir.texts`). The rest
    prepares the text: `charsmap` is the compiled character map of SentencePiece, and
    the flags say whether a Unigram model loses superfluous spaces, and a WordPiece
    model upper case and accents.
    """

    model: str
    tokens: Sequence[str] = field(repr=False)
    pre: str | None = None
    scores: NDArray[np.float32] | None = field(default=None, eq=_same_array, repr=False)
    types: NDArray[np.int32] | None = field(default=None, eq=_same_array, repr=False)
    merges: Sequence[str] | None = field(default=None, repr=False)
    charsmap: bytes | None = field(default=None, repr=False)
    remove_extra_spaces: bool | None = None
    lowercase: bool | None = None
    strip_accents: bool | None = None


@frozen
class Tokenizer:
    """A tokenizer in one or both forms, with what the source knew besides.

    `json` is the text of a `tokenizer.json` or its bytes, or a function that returns
    one of them; `skeleton` is what `flat` needs besides to become that text again, for
    a source that does not store it twice. `special_ids` maps `bos eos unk sep pad cls
    mask eot eom fim_pre fim_suf fim_mid fim_pad fim_rep fim_sep` to ids. The flags say
    whether encoding adds a BOS, EOS or separator, or a space in front, and whether
    decoding tidies spaces; None where no source says.
    Templates are never rendered.
    """

    flat: FlatVocabulary | None = None
    _json: Program | Callable[[], Program] | None = field(
        default=None, repr=False, eq=_bytes
    )
    special_ids: Mapping[str, int] = field(factory=dict, converter=_frozen_mapping)
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_sep: bool | None = None
    add_space_prefix: bool | None = None
    clean_up_spaces: bool | None = None
    chat_template: str | None = field(default=None, repr=False)
    chat_templates: Mapping[str, str] = field(
        factory=dict, converter=_frozen_mapping, repr=False
    )
    skeleton: str | None = field(default=None, repr=False)

    @property
    def json(self) -> str | None:
        """The text of a `tokenizer.json`; raises as `program` does."""
        program = self.program
        return None if program is None else program.decode()

    @property
    def program(self) -> bytes | None:
        """The bytes of a `tokenizer.json`; raises what making them raises.

        Raises UnrepresentableError for a text that is not valid Unicode.
        """
        return _bytes(self._json)

    @property
    def has_json(self) -> bool:
        """Whether there is a `tokenizer.json`; none is made to answer that."""
        return self._json is not None
