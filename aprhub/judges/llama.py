"""llama.cpp as a judge: whether it loads a GGUF file, and what comes out."""

from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_float, c_int8, c_int32, c_void_p, cast
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from aprhub.errors import JudgeError
from aprhub.judges.llama_api import Batch, ContextParams, Library, library

THREADS: Final = 2

_F32: Final = 0
_DISABLED: Final = 0


class Llama:
    """A GGUF file opened by llama.cpp on the CPU, computing as exactly as it can.

    The key and value cache is f32, flash attention and weight repacking are off,
    and the sliding window keeps every position. What remains of llama.cpp's own
    arithmetic: activations are rounded to the kind of the weights they meet
    (bf16 for bf16, 8 bits for quantised ones), f32 weights meet f32.
    """

    def __init__(
        self, model: int, context: int | None, n_ctx: int, messages: str
    ) -> None:
        self._library = library()
        self._model = model
        self._context = context
        self._n_ctx = n_ctx
        self._vocab: int = self._library.c.llama_model_get_vocab(model)
        self.messages = messages

    @classmethod
    def load(
        cls, path: str | Path, n_ctx: int = 512, *, vocab_only: bool = False
    ) -> Self:
        """Open a GGUF file, the first one of a split model.

        With `vocab_only` no weight is read and `logits` is out of reach. Raises
        JudgeError with llama.cpp's own log when it refuses the file.
        """
        found = library()
        found.journal.clear()
        model = _opened_model(found, Path(path), vocab_only)
        context = None if vocab_only else _opened_context(found, model, n_ctx)
        return cls(model, context, n_ctx, found.journal.complaints)

    @property
    def vocabulary(self) -> list[str]:
        """The text of every token as the file spells it, in the order of the ids."""
        text = self._library.c.llama_vocab_get_text
        return [text(self._vocab, i).decode() for i in range(self.n_vocab)]

    @property
    def n_vocab(self) -> int:
        """How many tokens the vocabulary has, padding included."""
        return int(self._library.c.llama_vocab_n_tokens(self._vocab))

    def apply(self, adapter: str | Path) -> None:
        """Compute with a GGUF adapter from now on; the model itself stays as it is.

        Raises JudgeError with llama.cpp's own log when it refuses the adapter.
        """
        c, journal = self._library.c, self._library.journal
        journal.clear()
        found = c.llama_adapter_lora_init(self._model, bytes(Path(adapter)))
        if not found:
            raise JudgeError(
                f"llama.cpp refuses {adapter}; take one that was made for this model,"
                f" or make it anew with 'aprhub adapter convert':\n{journal.complaints}"
            )
        # The model frees it.
        one, scale = (c_void_p * 1)(found), (c_float * 1)(1.0)
        if c.llama_set_adapters_lora(self._context, one, 1, scale):
            raise JudgeError(
                f"llama.cpp does not apply {adapter}; take one made for this model"
            )

    def logits(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits of every position, shape (tokens, vocabulary).

        Each call starts from an empty cache. Raises JudgeError for a prompt that
        is empty or longer than `n_ctx`, and when llama.cpp fails to compute.
        """
        if self._context is None:
            raise JudgeError(
                "the model was opened without its weights; leave vocab_only out"
            )
        if not 0 < len(token_ids) <= self._n_ctx:
            raise JudgeError(
                f"{len(token_ids)} tokens given, 1 to {self._n_ctx} expected; give"
                " fewer, or raise n_ctx"
            )
        c = self._library.c
        c.llama_memory_clear(c.llama_get_memory(self._context), True)
        status = c.llama_decode(self._context, _batch(token_ids))
        if status:
            raise JudgeError(
                f"llama_decode gives status {status}; give fewer tokens, or report it"
                f" to llama.cpp:\n{self._library.journal.complaints}"
            )
        return self._computed(len(token_ids))

    def _computed(self, n_tokens: int) -> NDArray[np.float32]:
        pointer = self._library.c.llama_get_logits(self._context)
        shape = (n_tokens, self.n_vocab)
        borrowed = np.ctypeslib.as_array(cast(pointer, POINTER(c_float)), shape)
        return borrowed.astype(np.float32, copy=True)

    def tokenize(
        self, text: str, *, special: bool = True, add_special: bool = False
    ) -> list[int]:
        """Return the ids of `text`.

        `special` recognises the spelling of control tokens inside the text,
        `add_special` adds the first and last token that the file asks for.
        """
        data = text.encode()
        room = (c_int32 * (len(data) + 8))()
        count = self._library.c.llama_tokenize(
            self._vocab, data, len(data), room, len(room), add_special, special
        )
        if count < 0:
            raise JudgeError(
                f"llama_tokenize wants room for {-count} tokens, {len(room)} expected"
                f" at most; report it to aprhub, with the text: {text!r:.80}"
            )
        return list(room[:count])

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        if self._context is not None:
            self._library.c.llama_free(self._context)
        if self._model:
            self._library.c.llama_model_free(self._model)
        self._context, self._model = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _opened_model(found: Library, path: Path, vocab_only: bool) -> int:
    params = found.c.llama_model_default_params()
    params.n_gpu_layers = 0
    params.vocab_only = vocab_only
    params.check_tensors = True
    # Repacked weights go through other kernels, which round differently.
    params.use_extra_bufts = False
    model = found.c.llama_model_load_from_file(c_char_p(bytes(path)), params)
    if not model:
        raise JudgeError(
            f"llama.cpp refuses {path}; ask 'aprhub doctor' what is wrong with it:\n"
            f"{found.journal.complaints}"
        )
    return int(model)


def _opened_context(found: Library, model: int, n_ctx: int) -> int:
    context = found.c.llama_init_from_model(
        c_void_p(model), _exact(found.c.llama_context_default_params(), n_ctx)
    )
    if not context:
        found.c.llama_model_free(model)
        raise JudgeError(
            f"llama.cpp gives no context for {n_ctx} tokens; lower n_ctx, or give the"
            f" machine more memory:\n{found.journal.complaints}"
        )
    return int(context)


def _exact(params: ContextParams, n_ctx: int) -> ContextParams:
    params.n_ctx = params.n_batch = params.n_ubatch = n_ctx
    params.n_seq_max = 1
    params.n_threads = params.n_threads_batch = THREADS
    params.type_k = params.type_v = _F32
    params.flash_attn_type = _DISABLED
    params.swa_full = True
    return params


def _batch(token_ids: Sequence[int]) -> Batch:
    """Return one sequence from position 0 that asks for all its logits."""
    n = len(token_ids)
    sequence = (c_int32 * 1)(0)
    return Batch(
        n_tokens=n,
        token=(c_int32 * n)(*token_ids),
        pos=(c_int32 * n)(*range(n)),
        n_seq_id=(c_int32 * n)(*[1] * n),
        seq_id=(POINTER(c_int32) * n)(*[cast(sequence, POINTER(c_int32))] * n),
        logits=(c_int8 * n)(*[1] * n),
    )
