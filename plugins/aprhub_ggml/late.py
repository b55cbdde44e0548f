"""A decoder that is replaced by a compiled one once that pays."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from aprhub.api import EnvironmentFailureError

_Blocks = NDArray[np.uint8]
_Values = NDArray[np.float32]

Decoder = Callable[[str, _Blocks], _Values]

PRICE: Final = 10.0
"""Seconds that importing numba and compiling a loop cost, about, while others work."""


@define(eq=False)
class LateCompiled:
    """Decodes one type by `first`, and by numba when that has taken its price.

    How much there is to decode is not known beforehand; so the whole takes at most
    twice as long as it would if it were. Threads that come while one compiles decode
    as before. The compiled loop has to give what `first` gave of the same blocks.
    """

    name: str
    first: Decoder
    price: float = PRICE
    _spent: float = 0.0
    _compiled: Decoder | None = None
    _lock: Lock = Factory(Lock)

    def __call__(self, blocks: _Blocks, _header: _Blocks) -> _Values:
        """Return the values of `(n, block_bytes)` blocks as `(n, block_elements)`.

        Raises EnvironmentFailureError if numba compiled something else.
        """
        if self._compiled:
            return self._compiled(self.name, blocks)
        start = time.perf_counter()
        values = self.first(self.name, blocks)
        self._spent += time.perf_counter() - start
        if self._spent >= self.price and self._lock.acquire(blocking=False):
            self._compiled = self._verified(blocks, values)
        return values

    def _verified(self, blocks: _Blocks, values: _Values) -> Decoder | None:
        """Compile, or return None where numba does not run here, as beside this numpy.

        The lock is kept, so that nobody tries again.
        """
        try:
            from numba.core.errors import NumbaError

            from aprhub_ggml.compiled import decode
        except ImportError:
            return None
        try:
            found = decode(self.name, blocks)
        except NumbaError:
            return None
        if np.array_equal(found, values, equal_nan=True):
            return decode
        raise EnvironmentFailureError(
            f"numba: {self.name} is decoded otherwise than before; install what"
            " 'aprhub[jit]' names, or uninstall it"
        )
