"""What the model card of a folder, `README.md`, says of a model's licence and data.

It says so in its front matter, which is YAML between two lines of dashes.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from aprhub.api import AprhubError, Provenance
from aprhub_safetensors.files import read_text
from aprhub_safetensors.folder import ModelFolder
from aprhub_safetensors.tables import CARD, MOST_CARD

_RULE: Final = "---"
_KEYS: Final = ("license", "license_name", "datasets")
_OTHER: Final = "other"
"""A licence of its own kind, whose name stands under another key."""


@frozen
class Card:
    """What a card says, by the fields of a provenance, and notes on it."""

    said: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: ModelFolder) -> "Card":
        """Read the card of a folder, if it has one.

        A model is whole without it: one that cannot be read is noted.
        """
        if CARD not in folder.names:
            return cls()
        try:
            said = dict(_said(read_text(folder.file(CARD), MOST_CARD)))
        except AprhubError as error:
            return cls(notes=(f"the model card is not read: {error}",))
        what = f"taken of {CARD}: {' and '.join(said) or 'nothing'}"
        return cls(said, (f"{what}; its text stays behind",))

    def completing(self, provenance: Provenance) -> Provenance:
        """Return a provenance with what it does not say itself."""
        own = {name: getattr(provenance, name) for name in self.said}
        unsaid = {name: self.said[name] for name, value in own.items() if not value}
        return evolve(provenance, **unsaid)  # type: ignore[arg-type]  # all are texts


def _said(text: str) -> Iterator[tuple[str, str]]:
    matter = _front_matter(text)
    if not matter.strip():
        return
    from aprhub.api import parsed_yaml  # which few models need

    keys = parsed_yaml(matter, Path(CARD), "front matter").mapping()
    words = {key: ", ".join(_texts(entry.value)) for key, entry in keys.items()}
    license_ = words.get("license", "")
    if license_ in ("", _OTHER):
        license_ = words.get("license_name") or license_
    if license_:
        yield "license", license_
    if words.get("datasets"):
        yield "data_source", words["datasets"]


def _front_matter(text: str) -> str:
    """Return what front matter says of the keys that are asked for.

    Cards may have thousands of lines of results, which would take seconds to parse.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _RULE:
        return ""
    ends = (at for at, line in enumerate(lines) if at and line.rstrip() == _RULE)
    return "\n".join(_asked(lines[1 : next(ends, 1)]))


def _asked(lines: Iterable[str]) -> Iterator[str]:
    asked = False
    for line in lines:
        if line[:1] not in ("", " ", "-", "#"):
            asked = line.partition(":")[0].strip() in _KEYS
        if asked:
            yield line


def _texts(value: Any) -> Iterator[str]:
    """Yield a text, or the texts of a list; whatever else there is says nothing."""
    if isinstance(value, str):
        yield value
    for entry in value if isinstance(value, tuple) else ():
        if isinstance(entry.value, str):
            yield entry.value
