"""The layouts by name; what they do is loaded when an adapter is read or written."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from aprhub.api import AdapterLayout


def _late(module: str, name: str) -> Callable[..., Any]:
    """Return a function of this package that is loaded when it is first called."""

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f"aprhub_adapters.{module}"), name)(*arguments)

    return call


PEFT: Final = AdapterLayout(
    "peft",
    "a folder with adapter_model.safetensors and adapter_config.json",
    "safetensors",
    "hf",
    _late("peft", "recognises"),
    _late("peft", "open_peft"),
    _late("peft_writing", "lay_out"),
    ("adapter_model.safetensors",),
)

ENTRENAR: Final = AdapterLayout(
    "entrenar",
    "a trainer's model.safetensors with lora.{layer}.{projection}.lora_a/_b",
    "safetensors",
    "entrenar",
    _late("entrenar", "has_names"),
    _late("entrenar", "open_entrenar"),
    _late("entrenar", "lay_out"),
    ("model.safetensors",),
)

NAMES: Final = AdapterLayout(
    "names",
    "a safetensors file with {tensor of the base}.lora_a/_b",
    "safetensors",
    "hf",
    _late("names", "recognises"),
    _late("names", "open_names"),
    _late("names", "lay_out"),
)

CONTAINED: Final = AdapterLayout(
    "apr",
    "an APR file with {tensor of the base}.lora_a/_b",
    "apr",
    "hf",
    _late("pairs", "has_pairs"),
    _late("contained", "open_contained"),
    _late("contained", "lay_out"),
)

GGUF: Final = AdapterLayout(
    "gguf",
    "a GGUF file with general.type adapter, as llama.cpp applies it",
    "gguf",
    "ggml",
    _late("gguf", "recognises"),
    _late("gguf", "open_gguf"),
    _late("gguf", "lay_out"),
)

LAYOUTS: Final = (PEFT, ENTRENAR, NAMES, CONTAINED, GGUF)
