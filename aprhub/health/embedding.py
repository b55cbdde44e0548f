"""The embedding and the head: which way round they are stored, and their tie."""

from collections.abc import Iterator
from functools import partial

from attrs import evolve

from aprhub.equality import same_bytes
from aprhub.health.patient import Patient, configured
from aprhub.health.sizes import NORM
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor
from aprhub.spec.format import StoredModel
from aprhub.spec.health import (
    EMBEDDING_SWAPPED,
    LAYOUT,
    RUNNABLE,
    TIED_HEAD,
    Finding,
    Mend,
    rewritten,
)


def swapped_findings(patient: Patient) -> Iterator[Finding]:
    """Find an embedding, or a head, with its dimensions the wrong way round."""
    alone = patient.alone
    norm = alone.get(NORM)
    for name, twin in ((EMBEDDING, HEAD), (HEAD, EMBEDDING)):
        if norm and name in alone:
            stored, tensor = alone[name]
            other = alone.get(twin)
            if _is_turned(tensor, norm[1].shape[0]):
                yield _swapped(stored, tensor, other[1] if other else None)


def _is_turned(tensor: Tensor, width: int) -> bool:
    shape = tensor.shape
    return len(shape) == 2 and shape[0] == width != shape[1]


def _swapped(stored: str, tensor: Tensor, twin: Tensor | None) -> Finding:
    width, rows = tensor.shape
    mend, evidence = _turning(stored, tensor, twin)
    why = "nothing tells whether the values are transposed or only the dimensions are"
    return Finding(
        EMBEDDING_SWAPPED,
        stored,
        f"shape {[width, rows]}",
        f"shape {[rows, width]}, a row for each token",
        LAYOUT,
        evidence or f"the norms have {width} elements",
        "" if mend else f"{why}; convert the model from its source again",
        (EMBEDDING, HEAD, stored),
        mend or partial(_with, name=stored, tensor=_rewound(tensor)),
    )


def _rewound(tensor: Tensor) -> Tensor:
    """Return the same bytes with the dimensions the other way round."""
    return Tensor(tensor.shape[::-1], tensor.encoding, tensor.source)


def _turning(
    stored: str, tensor: Tensor, twin: Tensor | None
) -> tuple[Mend | None, str]:
    """Return what turns a matrix as its tied twin is, and what shows that."""
    if twin is None or not tensor.encoding.is_plain:
        return None, ""
    rewound = _rewound(tensor)
    if same_bytes(rewound, twin):
        return partial(_with, name=stored, tensor=rewound), "its twin has these bytes"
    turned = tensor.transposed()
    if same_bytes(turned, twin):
        return partial(_with, name=stored, tensor=turned), "its twin is its transpose"
    return None, ""


def _with(model: StoredModel, name: str, tensor: Tensor) -> StoredModel:
    return evolve(model, tensors={**model.tensors, name: tensor})


def tie_findings(patient: Patient) -> Iterator[Finding]:
    """Find a head that is missing, and one that is no copy though it is called tied."""
    tied, alone = patient.stored.config.tie_embeddings, patient.alone
    if EMBEDDING not in alone:
        return
    if HEAD not in alone:
        yield from _missing_head(patient, tied)
    elif tied and not same_bytes(alone[HEAD][1], alone[EMBEDDING][1]):
        yield Finding(
            TIED_HEAD,
            alone[HEAD][0],
            "called tied to the embedding",
            "not tied",
            RUNNABLE,
            "its bytes are others than the embedding's",
            mend=partial(configured, values={"tie_embeddings": False}),
        )


def head_names(patient: Patient) -> tuple[str, ...]:
    """Return what the head is called in the namings that the tensors may be in."""
    return tuple(
        spelling.stored
        for naming in patient.namings
        if patient.family and (spelling := naming.to_theirs(HEAD, patient.family))
    )


def _missing_head(patient: Patient, tied: bool | None) -> Iterator[Finding]:
    names = head_names(patient)
    covers = (HEAD, *names)
    if tied is False:
        yield Finding(
            TIED_HEAD,
            names[0] if names else HEAD,
            "missing, and the configuration says that it is not tied",
            "a head, or a tie",
            RUNNABLE,
            obstacle="nothing tells whether it was lost or the configuration is wrong",
            covers=covers,
        )
    elif patient.format.stores_tied_head:
        yield Finding(
            TIED_HEAD,
            names[0] if names else HEAD,
            "missing",
            "a copy of the embedding",
            RUNNABLE,
            "every other weight is there, and nothing says that it is not tied",
            covers=covers,
            mend=rewritten,
        )
