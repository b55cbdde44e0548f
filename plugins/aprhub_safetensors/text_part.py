"""The text model in a model that sees or hears, as such folders have it.

Its configuration is a section of `config.json`, and its tensors have a prefix.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from aprhub.api import (
    HF_WORLD,
    Document,
    KeyFate,
    StoredModel,
    Tensor,
    TextPart,
    name_in_text_model,
)
from aprhub_safetensors.config import WRAPPED, read_config
from aprhub_safetensors.spelling import as_text
from aprhub_safetensors.tables import CONFIG

_TIED: Final = "tie_word_embeddings"
_SHARED: Final = (
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "pad_token_id",
    "quantization_config",
    _TIED,
    "torch_dtype",
    "transformers_version",
)
"""Keys of the whole that say something of its text model, too."""


def text_part(document: Document | None) -> TextPart | None:
    """Return the text model in a model of more than text, or None for any other."""
    inner = document.section(WRAPPED) if document else None
    if document is None or inner is None:
        return None
    return TextPart(inner.text("model_type"), _narrowed)


def _narrowed(stored: StoredModel, hf_class: str) -> StoredModel:
    """Return a model as one of its text part; other tensors keep their names."""
    # What was unpacked is no longer called packed in what is carried.
    text = stored.carried[HF_WORLD][CONFIG]
    document = Document.parse(stored.path, text, f"{CONFIG}: ")
    inner = document.section(WRAPPED) or evolve(document, values={})
    shared = {key: document.values[key] for key in _SHARED if key in document}
    values = {"architectures": [hf_class], **shared, **inner.values}
    # The class of the whole ties its head, whatever it says of the text model.
    if _TIED in shared:
        values[_TIED] = shared[_TIED]
    found = read_config(evolve(document, values=values))
    texts = {**stored.carried[HF_WORLD], CONFIG: as_text(values)}
    return evolve(
        stored,
        tensors=_renamed(stored.tensors),
        config=found.config,
        carried={**stored.carried, HF_WORLD: texts},
        fates=(*_fates(document, values, stored), *found.fates),
    )


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without their prefix, but those that another would be called."""
    names = {name: name_in_text_model(name) for name in tensors}
    counts = Counter([*names.values(), *tensors])
    return {
        name if name != bare and counts[bare] > 1 else bare: tensors[name]
        for name, bare in names.items()
    }


def _fates(
    document: Document, values: Mapping[str, Any], stored: StoredModel
) -> Iterator[KeyFate]:
    """Yield what became of the keys of the whole, and of all but the configuration."""
    told = {*document.values, *values}
    for fate in stored.fates:
        # A key that is there no more was unpacked, and is not told again.
        if fate.key.removeprefix(f"{CONFIG}/") not in told:
            yield fate
    for key in document.values:
        if key not in values and key != WRAPPED:
            why = "it is about more than the text model"
            yield KeyFate(f"{CONFIG}/{key}", "dropped", why=why)
