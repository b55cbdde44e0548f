"""llama.cpp's C interface, called straight out of the wheel of ``xllamacpp``.

The wheel's extension module is llama.cpp built for the CPU with every ``llama_*``
symbol exported, so it doubles as a shared library. The structures below are
those of ``include/llama.h`` in the source archive of the same release, and
``Library`` refuses any other release: a field more or less would shift all that
follow it.
"""

import ctypes
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int8,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

from aprhub.errors import EnvironmentFailureError, JudgeError

RELEASE: Final = "2026.10.11549"

_CONTINUED: Final = 5
_WARNING: Final = 3


class ModelParams(Structure):
    """``struct llama_model_params``."""

    _fields_: ClassVar = [
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    ]


class ContextParams(Structure):
    """``struct llama_context_params``."""

    _fields_: ClassVar = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class Batch(Structure):
    """``struct llama_batch``."""

    _fields_: ClassVar = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


class GgufParams(Structure):
    """``struct gguf_init_params``."""

    _fields_: ClassVar = [("no_alloc", c_bool), ("ctx", c_void_p)]


_LOG_CALLBACK: Final = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)

_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG_CALLBACK, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits": (POINTER(c_float), (c_void_p,)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_get_text": (c_char_p, (c_void_p, c_int32)),
    "llama_tokenize": (
        c_int32,
        (
            c_void_p,
            c_char_p,
            c_int32,
            POINTER(c_int32),
            c_int32,
            c_bool,
            c_bool,
        ),
    ),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_set_adapters_lora": (
        c_int32,
        (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float)),
    ),
    "gguf_init_from_file": (c_void_p, (c_char_p, GgufParams)),
    "gguf_free": (None, (c_void_p,)),
    "gguf_find_key": (c_int64, (c_void_p, c_char_p)),
    "gguf_get_val_u32": (c_uint32, (c_void_p, c_int64)),
    "gguf_get_data_offset": (c_size_t, (c_void_p,)),
    "gguf_get_n_tensors": (c_int64, (c_void_p,)),
    "gguf_get_tensor_name": (c_char_p, (c_void_p, c_int64)),
    "gguf_get_tensor_ne": (POINTER(c_int64), (c_void_p, c_int64)),
    "gguf_get_tensor_type": (c_int32, (c_void_p, c_int64)),
    "gguf_get_tensor_offset": (c_size_t, (c_void_p, c_int64)),
    "gguf_get_tensor_size": (c_size_t, (c_void_p, c_int64)),
}


class Journal:
    """What llama.cpp logged since the last ``clear``, kept instead of printed."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, str]] = []
        # llama.cpp keeps a bare pointer to it: it must live as long as the library.
        self.callback = _LOG_CALLBACK(self._record)

    def _record(self, level: int, text: bytes, _data: object) -> None:
        if level == _CONTINUED and self._entries:
            level = self._entries[-1][0]
        self._entries.append((level, text.decode("utf-8", "replace")))

    def clear(self) -> None:
        """Forget what was logged."""
        self._entries.clear()

    @property
    def text(self) -> str:
        """Everything that was logged."""
        return "".join(text for _, text in self._entries)

    @property
    def complaints(self) -> str:
        """The warnings and the errors alone."""
        return "".join(text for level, text in self._entries if level >= _WARNING)


class Library:
    """The loaded shared object with its signatures declared and its log caught."""

    def __init__(self) -> None:
        self.c = _declared(ctypes.CDLL(str(_shared_object())))
        self.journal = Journal()
        self.c.llama_log_set(self.journal.callback, None)
        self.c.llama_backend_init()
        _check_layout(self.c)


@cache
def library() -> Library:
    """Return the one instance of a process."""
    return Library()


def _shared_object() -> Path:
    spec = find_spec("xllamacpp")
    installed = metadata.version("xllamacpp") if spec else "none"
    if spec is None or installed != RELEASE:
        raise EnvironmentFailureError(
            f"llama.cpp is asked through xllamacpp {RELEASE}, whose C structures are"
            f" known; {installed} is installed: pip install xllamacpp=={RELEASE}"
        )
    folders = spec.submodule_search_locations or [""]
    return next(Path(folders[0]).glob("xllamacpp*.so"))


def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(c, name)
        function.restype = result
        function.argtypes = arguments
    return c


def _check_layout(c: ctypes.CDLL) -> None:
    """Compare defaults at the front, middle and end of the structures."""
    context = c.llama_context_default_params()
    model = c.llama_model_default_params()
    found = (
        context.n_ctx,
        context.n_batch,
        context.flash_attn_type,
        context.type_k,
        context.offload_kqv,
        context.n_samplers,
        model.use_extra_bufts,
    )
    expected = (512, 2048, -1, 1, True, 0, True)
    if found != expected:
        raise JudgeError(
            f"llama.h has another layout: {found} instead of {expected}; install the"
            " release of PyPI anew:"
            f" pip install --force-reinstall xllamacpp=={RELEASE}"
        )
