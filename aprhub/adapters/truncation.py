"""The best approximation of a matrix by two small ones: truncated singular values.

By the theorem of Eckart and Young it is U S V^T cut to its largest singular values. A
has orthonormal rows, B the singular values.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aprhub.ir.computed import PIECE_BYTES
from aprhub.ir.encoding import F32
from aprhub.ir.tensor import Tensor

Array = NDArray[np.float32]
Wide = NDArray[np.float64]


def truncated_product(a: Array, b: Array, rank: int) -> tuple[Array, Array]:
    """Return A and B of a lower rank for the product B A, which is never made."""
    left, upper = np.linalg.qr(b.astype(np.float64))
    right, lower = np.linalg.qr(a.T.astype(np.float64))
    u, s, v = np.linalg.svd(upper @ lower.T)
    u, s, v = u[:, :rank], s[:rank], v[:rank]
    return _narrow(v @ right.T), _narrow(left @ (u * s))


def truncated_svd(delta: Tensor, rank: int) -> tuple[Array, Array, float]:
    """Return A and B of a rank at most `rank`, and the share of the change they lack.

    That is the norm of what is missing over the norm of the whole. The matrix is read
    in rows, and twice; it is in memory only where it is wider than it is high. The
    singular vectors are those of its Gram matrix, in f64.
    """
    rows, columns = delta.shape
    plain = delta.cast(F32)
    if rows < columns:
        whole = plain.numpy().astype(np.float64)
        vectors, missing = _largest(whole @ whole.T, rank)
        scaled = vectors.T @ whole
        sizes = np.linalg.norm(scaled, axis=1)
        sizes = np.where(sizes == 0, 1, sizes)
        return _narrow(scaled / sizes[:, None]), _narrow(vectors * sizes), missing
    vectors, missing = _largest(_gram(plain), rank)
    b = np.concatenate([_narrow(piece @ vectors) for piece in _pieces(plain)])
    return _narrow(vectors.T), b, missing


def effective_rank(delta: Tensor, share: float) -> int:
    """Return how many singular values hold a share of a matrix's squared norm."""
    rows, columns = delta.shape
    plain = delta.cast(F32)
    if rows < columns:
        whole = plain.numpy().astype(np.float64)
        gram = whole @ whole.T
    else:
        gram = _gram(plain)
    energies = np.linalg.eigvalsh(gram).clip(min=0)[::-1].cumsum()
    return int(np.searchsorted(energies, share * energies[-1])) + 1


def _gram(matrix: Tensor) -> Wide:
    """Return the products of all columns with each other, read in rows."""
    gram: Wide = np.zeros((matrix.shape[1],) * 2)
    for piece in _pieces(matrix):
        gram += piece.T @ piece
    return gram


def _largest(gram: Wide, rank: int) -> tuple[Wide, float]:
    """Return the eigenvectors of the largest eigenvalues, and the share of the rest."""
    values, vectors = np.linalg.eigh(gram)
    values = values.clip(min=0)
    total, rest = values.sum(), values[: max(values.size - rank, 0)].sum()
    missing = float(np.sqrt(rest / total)) if total else 0.0
    return vectors[:, ::-1][:, :rank], missing


def _pieces(matrix: Tensor) -> Iterator[Wide]:
    step = max(PIECE_BYTES // (4 * matrix.shape[1]), 1)
    for start in range(0, matrix.shape[0], step):
        stop = min(start + step, matrix.shape[0])
        yield matrix.sliced(start, stop).numpy().astype(np.float64)


def _narrow(values: Wide) -> Array:
    return np.ascontiguousarray(values, np.float32)
