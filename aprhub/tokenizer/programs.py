"""The `tokenizer.json` of each kind of flat vocabulary, all but its special tokens."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from aprhub.errors import ModelCheckError
from aprhub.ir.tokenizer import BYTE, CONTROL, USER_DEFINED, FlatVocabulary, Tokenizer
from aprhub.tokenizer.fitting import SUBJECT
from aprhub.tokenizer.kinds import CONTINUED, SPACE
from aprhub.tokenizer.lexicon import Lexicon
from aprhub.tokenizer.merges import Pair, listed, made_by, stored_pairs, unknown_tokens
from aprhub.tokenizer.pretokenizers import pre_tokenizer, split_named
from aprhub.tokenizer.ranking import ranked_ways
from aprhub.tokenizer.templates import post_processor

Parts = Mapping[str, Any]

BYTE_LEVEL_STEP: Final[Parts] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}
"""The step that spells bytes; as a post-processor it puts nothing around a text."""
_SPACES_OUT: Final[Parts] = {
    "type": "Replace",
    "pattern": {"String": " "},
    "content": SPACE,
}
_SPACES_BACK: Final[Parts] = {
    "type": "Replace",
    "pattern": {"String": SPACE},
    "content": " ",
}
_PREFIX: Final[Parts] = {"type": "Prepend", "prepend": SPACE}
_PREFIX_OFF: Final[Parts] = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_ENDS_STRIPPED: Final[Parts] = {
    "type": "Replace",
    "pattern": {"Regex": r"\A +| +\z"},
    "content": "",
}
_RUNS_SHORTENED: Final[Parts] = {
    "type": "Replace",
    "pattern": {"Regex": " {2,}"},
    "content": " ",
}
_WORDPIECE_LONGEST: Final = 100


def byte_level(tokenizer: Tokenizer, lexicon: Lexicon) -> Parts:
    """Return byte-level BPE, split as the vocabulary's `pre` says."""
    split = split_named(lexicon.flat.pre)
    first = tokenizer.add_bos if tokenizer.add_bos is not None else split.add_bos
    frame = post_processor(
        lexicon.named("bos") if first else None,
        lexicon.named("eos") if tokenizer.add_eos else None,
    )
    pairs = _stored_pairs(lexicon)
    steps = [BYTE_LEVEL_STEP, *([frame] if frame else [])]
    return {
        "normalizer": {"type": "NFC"} if split.nfc else None,
        "pre_tokenizer": pre_tokenizer(split),
        "post_processor": _sequence("processors", steps),
        "decoder": BYTE_LEVEL_STEP,
        "model": {
            **bpe_model(lexicon.ids(_model_size(lexicon, pairs)), pairs),
            "ignore_merges": split.ignore_merges,
        },
    }


def sentencepiece(tokenizer: Tokenizer, lexicon: Lexicon) -> Parts:
    """Return BPE in the manner of SentencePiece, its merges from the scores."""
    ways = ranked_ways(lexicon.words, lexicon.scores, lexicon.types)
    return _with_spaces(tokenizer, lexicon, ways.in_order_of_ids(), prefixed=True)


def sentencepiece_merges(tokenizer: Tokenizer, lexicon: Lexicon) -> Parts:
    """Return the same for a vocabulary that has its merges and no scores."""
    return _with_spaces(tokenizer, lexicon, _stored_pairs(lexicon), prefixed=False)


def unigram(tokenizer: Tokenizer, lexicon: Lexicon) -> Parts:
    """Return a Unigram model with the normaliser that SentencePiece compiled."""
    flat = lexicon.flat
    tidy = flat.remove_extra_spaces is not False
    scheme = "never" if tokenizer.add_space_prefix is False else "always"
    spaces = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme}
    unknown = lexicon.named("unk")
    return {
        "normalizer": _sequence("normalizers", _cleaned(flat, tidy=tidy)),
        "pre_tokenizer": spaces,
        "post_processor": post_processor(
            lexicon.named("bos") if tokenizer.add_bos else None,
            lexicon.named("eos") if tokenizer.add_eos is not False else None,
        ),
        "decoder": spaces,
        "model": {
            "type": "Unigram",
            "unk_id": unknown and unknown[1],
            "vocab": list(zip(lexicon.words, lexicon.scores.tolist(), strict=True)),
            "byte_fallback": bool((lexicon.types == BYTE).any()),
        },
    }


def wordpiece(tokenizer: Tokenizer, lexicon: Lexicon) -> Parts:
    """Return WordPiece as BERT has it."""
    flat = lexicon.flat
    first = lexicon.named("cls", "bos") if tokenizer.add_bos is not False else None
    last = lexicon.named("sep", "eos") if tokenizer.add_eos is not False else None
    unknown = lexicon.named("unk")
    if unknown is None:
        raise ModelCheckError(
            SUBJECT,
            "a WordPiece vocabulary without an unknown token; give the model a whole"
            " one with 'aprhub stamp --tokenizer'",
        )
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": flat.strip_accents,
            "lowercase": flat.lowercase is not False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor(first, last, begins_twice=False),
        "decoder": {"type": "WordPiece", "prefix": CONTINUED, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown[0],
            "continuing_subword_prefix": CONTINUED,
            "max_input_chars_per_word": _WORDPIECE_LONGEST,
            "vocab": lexicon.ids(),
        },
    }


def _with_spaces(
    tokenizer: Tokenizer, lexicon: Lexicon, pairs: Sequence[Pair], *, prefixed: bool
) -> Parts:
    asked = tokenizer.add_space_prefix
    prefix = prefixed if asked is None else asked
    tidy = lexicon.flat.remove_extra_spaces is True
    front = [*_cleaned(lexicon.flat, tidy=tidy), *([_PREFIX] if prefix else [])]
    back = [_PREFIX_OFF] if prefix else []
    decoders = [_SPACES_BACK, {"type": "ByteFallback"}, {"type": "Fuse"}, *back]
    unknown = lexicon.named("unk")
    return {
        "normalizer": _sequence("normalizers", [*front, _SPACES_OUT]),
        "pre_tokenizer": None,
        "post_processor": post_processor(
            lexicon.named("bos") if tokenizer.add_bos is not False else None,
            lexicon.named("eos") if tokenizer.add_eos else None,
        ),
        "decoder": _sequence("decoders", decoders),
        "model": {
            **bpe_model(lexicon.ids(), pairs),
            "unk_token": unknown and unknown[0],
            "fuse_unk": True,
            "byte_fallback": bool((lexicon.types == BYTE).any()),
        },
    }


def _cleaned(flat: FlatVocabulary, *, tidy: bool) -> list[Parts]:
    """Return the steps that map characters, and that tidy spaces when asked."""
    steps: list[Parts] = []
    if flat.charsmap:
        text = base64.b64encode(flat.charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": text})
    return [*steps, _ENDS_STRIPPED, _RUNS_SHORTENED] if tidy else steps


def _sequence(key: str, steps: Sequence[Parts]) -> Parts | None:
    if len(steps) > 1:
        return {"type": "Sequence", key: list(steps)}
    return steps[0] if steps else None


def bpe_model(vocabulary: Mapping[str, int], pairs: Sequence[Pair]) -> Parts:
    """Return a BPE model that does nothing but merge."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": listed(pairs),
    }


def _stored_pairs(lexicon: Lexicon) -> Sequence[Pair]:
    if lexicon.flat.merges is None:
        raise ModelCheckError(
            SUBJECT,
            f"a {lexicon.flat.model} vocabulary without merge rules; give the model a"
            " whole one with 'aprhub stamp --tokenizer'",
        )
    pairs = stored_pairs(lexicon.flat.merges)
    odd = next((pair for pair in pairs if len(pair) != 2), None)
    if odd:
        raise ModelCheckError(
            SUBJECT,
            f"the merge rule {odd[0]!r:.80} has one token, expected two; give the"
            " model a whole one with 'aprhub stamp --tokenizer'",
        )
    unknown = unknown_tokens(pairs, lexicon.words)
    if unknown:
        raise ModelCheckError(
            SUBJECT,
            f"{unknown[0]!r:.80} is in a merge rule, but is no token; give the model a"
            " whole one with 'aprhub stamp --tokenizer'",
        )
    return pairs


def _model_size(lexicon: Lexicon, pairs: Sequence[Pair]) -> int:
    """Return how many words the model has to know; those after them are only added."""
    merged = int(lexicon.ids().ids_of(made_by(pairs)).max(initial=-1))
    known = np.flatnonzero(~np.isin(lexicon.types, (CONTROL, USER_DEFINED)))
    return 1 + max(merged, int(known[-1]) if known.size else -1)
