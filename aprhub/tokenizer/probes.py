"""Texts that are hard to tokenize."""

# ruff: noqa: RUF001 - letters that look alike are the point

from typing import Final

PROBES: Final = (
    "",
    "Hello, world!",
    " leading and trailing ",
    "two  three   four    spaces",
    "tabs\tand\t\tmore\n",
    "lines\n\nof\r\n\r\ntext\n \n",
    "I'm, you're, WE'LL, they'd've; don't",
    "0 12 123 1234 12345 3.14159 1,000,000",
    "def f(x):\n    return {'a': [x ** 2, -1]}  # ok\n",
    "https://example.org/a?b=c&d=%20#e",
    "cafe\u0301 café naïve ÆØÅ ß ﬁ",
    "Привет, мир! Γειά",
    "你好。世界。我想在apple工作1314151天",
    "日本語とカタカナ 한국어 텍스트",
    "مرحبا بالعالم שלום עולם",
    "हिन्दी ภาษาไทย កាន់តែពិសេស",
    "🚀 😶‍🌫️ 👨‍👩‍👧‍👦 🇩🇪 ✅",
    "\u00a0\u200b\u3000\ufeff zero\u200dwidth",
    "<s></s><unk><pad><|endoftext|><|im_start|>user\n<|im_end|>",
    "<bos><start_of_turn>user\n<end_of_turn><eos> [CLS] [SEP]",
    "▁ literal ▁▁ marks <0x0A>",
    "aAaAaA" * 20,
    "!?#$%&()*+-/=@[]^_`{|}~\\\"'",
    "Árvíztűrő tükörfúrógép; Nguyễn Thị Ngọc Ánh; IŞIK ışık",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία",
    "هر چه بادا باد، می\u200cخواهم بروم ١٢٣٤٥",
    "क्षि त्रि ज्ञ श्र ०१२३ আমার தமிழ் ಎಲ್ಲಾ ქართული ատել",
    "ko\u1100\u1161\u11a8 \uac01 ｶﾀｶﾅ ａｂｃ１２３ ① ½ ² Ⅷ",
    "n\u0303 \u0301 A\u030a \u212b \u0644\u0651\u064e",
    "𝓗𝓮𝓵𝓵𝓸 𐌰𐌱𐌲 𞤀𞤣 🏴\u200d☠️ 1️⃣ 👍🏽",
    "“top” ‘one’ «deux» – — … → ∀x∈ℝ",
    "\t\n \n\t\n  x\r\ry \u2028\u2003z",
    "getHTTPResponse2XML snake_case SCREAMING don'T I’ve 'tis",
    "x" + " " * 40 + "y" + "\n" * 9 + "=" * 30,
    "<think>\nhm\n</think><tool_call>{}</tool_call>[INST] [/INST]",
    "<|begin_of_text|><|eot_id|><|end|><unused0><start_of_image>",
)
"""Texts that tell tokenizers apart: scripts, spaces, digits, marks, special tokens."""
