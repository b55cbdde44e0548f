"""Stacks of experts whose dimensions some writers keep in ggml's order.

APR counts dimensions from the outermost one. The importer that copies tensors out of
GGUF files turns those of matrices around and not those of stacks; the bytes are the
same.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve

from aprhub_apr.index import Entry

_STACK = re.compile(r"blk\.\d+\.ffn_(gate|up|down|gate_up)_exps\.weight")
_ROUTER = re.compile(r"(blk\.\d+\.ffn_gate_inp|model\.layers\.\d+\.mlp\.gate)\.weight")


def in_order(entries: Sequence[Entry], keys: Mapping[str, Any]) -> list[Entry]:
    """Return the entries, those of stacks with the experts outermost.

    The number of experts is what the metadata say, else the rows of a router.
    """
    experts = next(_counts(entries, keys), None)
    return [
        evolve(each, shape=each.shape[::-1]) if _is_turned(each, experts) else each
        for each in entries
    ]


def _counts(entries: Sequence[Entry], keys: Mapping[str, Any]) -> Iterator[int]:
    said = keys.get("num_experts")
    if isinstance(said, int):
        yield said
    for entry in entries:
        if len(entry.shape) == 2 and _ROUTER.fullmatch(entry.name):
            yield entry.shape[0]


def _is_turned(entry: Entry, experts: int | None) -> bool:
    outer, inner = entry.shape[:1], entry.shape[-1:]
    is_stack = len(entry.shape) == 3 and _STACK.fullmatch(entry.name) is not None
    return is_stack and outer != (experts,) and inner == (experts,)
