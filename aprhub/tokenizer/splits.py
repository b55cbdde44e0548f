r"""How byte-level tokenizers split text into words, by the names that ggml gave them.

A name stands for a list of regular expressions that are applied one after the other:
each cuts every piece that is left into its matches and what lies between them. The
expressions are spelled as the models' own `tokenizer.json` files spell them, and
normalised as in `aprhub.tokenizer.regexes`.
"""

from typing import Final

from attrs import frozen

GPT2: Final = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
"""The expression built into the `ByteLevel` step."""
DIGIT: Final = r"\p{N}"
DIGITS: Final = r"\p{N}+"
PUNCTUATION: Final = r"[\p{P}\$\+<=>\^~\|`]+"
"""What a `Punctuation` step calls punctuation, neighbours taken together."""

CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_BREAKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_REST = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_BREAKS}"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_MARK = r"[^\r\n\p{L}\p{N}]?"
_PATHS = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_BREAKS}"

_CL100K = rf"{CONTRACTIONS}|{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{CONTRACTIONS}|{_WORD}|\p{{N}}|{_REST}"
_O200K = (
    rf"{_MARK}{_UPPER}*{_LOWER}+{CONTRACTIONS}?"
    rf"|{_MARK}{_UPPER}+{_LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}|{_PATHS}"
)
_ASCII_WORD = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+".replace(r"\"", '"')
_MARKED_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_HAN_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a"
    "\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-"
    "\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-"
    "\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-"
    "\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-"
    "\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-"
    "\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-"
    "\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-"
    "\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-"
    "\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-"
    "\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-"
    "\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)
_PUNCTUATION = "!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002"
_SENTENCE = r" ?[^(\s|" + ".,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


@frozen
class Split:
    """One way of splitting, under its names; the first name is the one to write.

    `clean_up` says whether decoding under these names tidies spaces, `add_bos`
    whether encoding begins with a BOS when nothing says otherwise, `nfc` whether the
    models composed characters (Unicode NFC) before they split.
    """

    names: tuple[str, ...]
    stages: tuple[str, ...]
    ignore_merges: bool = False
    clean_up: bool = True
    add_bos: bool = False
    nfc: bool = False


SPLITS: Final = (
    Split(
        (
            *("gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de"),
            *("gigachat", "a.x-4.0", "mellum", "modern-bert", "jais", "exaone4"),
            *("roberta-bpe", "jina-v1-en", "jina-v2-code"),
        ),
        (GPT2,),
    ),
    Split(("mpt", "olmo"), (GPT2,), nfc=True),
    Split(("granite-docling", "trillion"), (GPT2,), clean_up=False),
    Split(
        ("starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"),
        (DIGIT, GPT2),
    ),
    Split(("smollm",), (DIGIT, GPT2), clean_up=False),
    Split(("command-r",), (DIGIT, GPT2), clean_up=False, nfc=True),
    Split(
        (
            *("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral"),
            *("midm-2.0", "lfm2", "jina-v5-nano"),
        ),
        (_CL100K,),
        ignore_merges=True,
        add_bos=True,
    ),
    Split(("glm4", "glm5"), (_CL100K,), ignore_merges=True),
    Split(("dbrx", "smaug-bpe", "chatglm-bpe"), (_CL100K,)),
    Split(
        (
            *("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "hunyuan"),
            *("solar-open", "grok-2"),
        ),
        (_QWEN2,),
        clean_up=False,
        nfc=True,
    ),
    Split(("stablelm2", "megrez"), (_QWEN2,), nfc=True),
    Split(
        ("qwen35",),
        (
            rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
            rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_BREAKS}",
        ),
        clean_up=False,
        nfc=True,
    ),
    Split(("ufakzeka",), (rf"{_WORD}|\p{{N}}|{_REST}",), clean_up=False),
    Split(("laguna",), (r"[^\n]+|[\n]+", _QWEN2), clean_up=False),
    Split(
        ("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"),
        (_O200K,),
        clean_up=False,
    ),
    Split(
        ("tiny_aya", "cohere2moe"),
        (r"\d{1,3}(?=(?:\d{3})*\b)", _O200K),
        clean_up=False,
    ),
    Split(
        ("tekken",),
        (rf"{_MARK}{_UPPER}*{_LOWER}+|{_MARK}{_UPPER}+{_LOWER}*|\p{{N}}|{_PATHS}",),
        ignore_merges=True,
        clean_up=False,
        add_bos=True,
    ),
    Split(
        ("deepseek-llm",),
        (
            r"[\r\n]",
            rf"\s?[{_CASED_LETTERS}]+",
            rf"\s?[{_PUNCTUATION}]+",
            r"\s+$",
            _HAN_HANGUL,
            DIGIT,
        ),
        clean_up=False,
    ),
    Split(
        ("deepseek-coder",),
        (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_HANGUL, DIGIT),
        clean_up=False,
    ),
    Split(
        ("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"),
        (
            r"\p{N}{1,3}",
            _HAN_KANA,
            rf"{_ASCII_WORD}|{_MARKED_WORD}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_BREAKS}",
        ),
        clean_up=False,
    ),
    Split(("falcon",), (PUNCTUATION, GPT2, DIGITS, "[0-9][0-9][0-9]")),
    Split(("bloom", "gpt3-finnish"), (_SENTENCE,)),
    Split(("poro-chat",), (_SENTENCE,), clean_up=False),
    Split(("viking",), (_SENTENCE, DIGIT), clean_up=False),
    Split(
        ("seed-coder",),
        (rf"{CONTRACTIONS}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_BREAKS}",),
        clean_up=False,
    ),
    Split(
        ("bailingmoe", "bailingmoe2", "llada-moe"),
        (
            rf"{CONTRACTIONS}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
            r"|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
        clean_up=False,
    ),
    Split(("superbpe",), (DIGITS, r"(?=(\d{3})+(?!\d))"), clean_up=False),
    Split(
        ("minicpm5",),
        (r"\p{N}{1,3}", rf"{CONTRACTIONS}|{_WORD}|\p{{N}}+|{_REST}"),
        ignore_merges=True,
    ),
    Split(
        ("exaone-moe",),
        (
            rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}"
            r"\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
    ),
    Split(
        ("default",),
        # Grouped, it is a step on characters, and digits are not looked for in bytes.
        (r"[\p{P}\$\+<=>\^~\|]+", rf"(?:{GPT2})", DIGITS, "[0-9][0-9][0-9]"),
    ),
)
"""The table; `default` is what ggml does when a file names no way at all."""
