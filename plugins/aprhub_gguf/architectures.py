"""Names that llama.cpp knows, and rules that differ between its architectures.

Sources: `src/llama-arch.cpp`, `src/llama-vocab.cpp`, `src/models/*.cpp` of llama.cpp.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_ARCHITECTURES: Final = """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2
    bailingmoe3 bert bitnet bloom chameleon chatglm codeshell cogvlm cohere2
    cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32
    deepseek4 dflash dots1 dots3note dream eagle3 ernie4_5 ernie4_5-moe eurobert
    exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma-embedding gemma2
    gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe glm5-next
    gpt-oss gpt2 gptj gptneox granite granite_swa granitehybrid granitemoe
    graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl
    hy_v3 hy_v4 internlm2 jais jais2 jamba jina-bert-v2 jina-bert-v3 kimi-k3
    kimi-linear laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4
    maincoder mamba mamba2 maple mellum mimo2 minicpm minicpm3 minimax-01
    minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt muse-glimmer
    nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert
    nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2
    phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl
    qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe
    qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3
    spark2_5 stablelm starcoder starcoder2 step35 t5 t5encoder talkie
    wavtokenizer-dec xverse
"""
ARCHITECTURES: Final = frozenset(_ARCHITECTURES.split())
"""Every value of `general.architecture` that is loaded."""

_PRE_TOKENIZERS: Final = """
    a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell
    cohere2moe command-r dbrx deepseek-coder deepseek-llm deepseek-r1-qwen
    deepseek-v3 default exaone exaone-moe exaone4 f2llmv2 falcon falcon-h1
    falcon3 gemma4 gigachat glm4 glm5 gpt-2 gpt-4o gpt3-finnish granite-docling
    granite-embed-multi-311m granite-embed-multi-97m grok-2 hunyuan
    hunyuan-dense hy_v4 jais jais-2 jina-de jina-es jina-v1-en jina-v2-code
    jina-v2-de jina-v2-es jina-v5-nano joyai-llm kanana2 kimi-k2 kormo laguna
    lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum mellum2
    midm-2.0 minerva-7b minicpm5 minimax-m2 modern-bert mpt olmo phi-2 pixtral
    poro-chat qwen2 qwen35 refact roberta-bpe sarvam-moe seed-coder smaug-bpe
    smollm solar-open spark2_5 stablelm2 starcoder superbpe talkie tekken
    tiny_aya trillion ufakzeka viking whitespace youtu
"""
PRE_TOKENIZERS: Final = frozenset(_PRE_TOKENIZERS.split())
"""Every value of `tokenizer.ggml.pre` that a byte-pair vocabulary may have."""

TOKENIZER_MODELS: Final = frozenset(
    (
        "bert",
        "gemma4",
        "gpt2",
        "hybriddna",
        "llama",
        "no_vocab",
        "none",
        "plamo2",
        "rwkv",
        "t5",
        "test",
        "whitespace",
    )
)
"""Every value of `tokenizer.ggml.model` that is loaded."""

HEADLESS: Final = frozenset(("gemma", "gemma2", "command-r", "cohere2"))
"""Architectures whose files must not have an `output.weight`."""

HEADED: Final = frozenset(
    ("gptneox", "internlm2", "olmo2", "phi2", "qwen2moe", "rwkv6", "stablelm")
)
"""Architectures whose files must have one, also where it equals the embedding."""

FULLY_ROTARY: Final = frozenset(("llama", "deci", "falcon", "llama-embed"))
"""Architectures that rotate all elements of a head."""

UNSPLIT: Final = frozenset(("phi3", "qwen2", "qwen2moe"))
"""Architectures whose heads together are as wide as the hidden size."""

NORMALISED: Final = MappingProxyType({"qwen2moe": False, "qwen3moe": True})
"""Whether the weights of the chosen experts are made to sum to one."""

RMS_NORM: Final = frozenset(
    (
        "gemma",
        "gemma2",
        "gemma3",
        "llama",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen2moe",
        "qwen3",
        "qwen3moe",
    )
)
"""Architectures that need `attention.layer_norm_rms_epsilon`."""

_LONG_FACTORS: Final = ("rope_factors_long.weight", "rope_factors_short.weight")
OPTIONAL: Final = frozenset(
    (
        "rope_freqs.weight",
        *_LONG_FACTORS,
        "attn_output.bias",
        "ffn_gate.bias",
        "ffn_up.bias",
        "ffn_down.bias",
    )
)
"""Tensors, without the block before them, that some architectures have a place for."""

_GEMMA: Final = ("gemma", "gemma2", "gemma3")
_QWEN: Final = ("qwen2", "qwen2moe", "qwen3", "qwen3moe")

OPTIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "llama": OPTIONAL,
        "phi3": frozenset(_LONG_FACTORS),
        **dict.fromkeys((*_GEMMA, *_QWEN), frozenset[str]()),
    }
)
"""Which of those each architecture has a place for; of others nothing is known."""

_SILU: Final = frozenset(("silu", "swish"))
_GELU_TANH: Final = frozenset(("gelu_pytorch_tanh", "gelu_new", "gelu_fast"))
ACTIVATIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(("llama", "phi3", *_QWEN), _SILU),
        **dict.fromkeys(_GEMMA, _GELU_TANH),
    }
)
"""The one activation that each architecture computes, by its names in transformers."""

CAPS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {"gemma2": MappingProxyType({"attention_softcap": 50.0, "final_softcap": 30.0})}
)
"""What caps scores and logits where no key says it, and can only be another number."""

WINDOWS: Final = frozenset(("gemma2", "gemma3"))
"""Architectures some of whose layers see only a window of the text."""

SHARED_SCALE: Final[Mapping[str, int]] = MappingProxyType({"gemma2": 46, "gemma3": 62})
"""How many layers the one model has whose queries are scaled by an equal share of the
hidden size, and not by the size of a head."""
