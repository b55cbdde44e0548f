"""What a user may ask of a stamp."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen
from attrs.converters import optional

from aprhub import licenses
from aprhub.errors import UsageError
from aprhub.spec.stamp import Setting

PROVENANCE: Final = (
    *("license", "data_source", "data_license", "name", "description", "author"),
    *("version", "source"),
)
"""The fields of a provenance that can be stamped."""

IDENTITY: Final = ("architecture", "hf_class", "hf_model_type")
LICENSES: Final = ("license", "data_license")


def _checked(words: Mapping[str, str]) -> Mapping[str, str]:
    """Return words with licences in SPDX's spelling; raises UsageError for others."""
    empty = next((name for name, word in words.items() if not word.strip()), None)
    if empty:
        raise UsageError(
            f"{empty} is empty; give it a text, or take its key away with --unset KEY"
        )
    return {
        name: licenses.checked(word) if name in LICENSES else word
        for name, word in words.items()
    }


@frozen
class StampOptions:
    """What is to be said of a model, and how it is written.

    `provenance` and `identity` are by their fields; licences have to be SPDX's.
    `tokenizer` is a folder, a `tokenizer.json` or a model that has one. `settings` and
    `unset` are about the format's own keys. `force` replaces an output that is there,
    `verify` reads the output again and compares every byte of the tensors.
    """

    provenance: Mapping[str, str] = field(factory=dict, converter=_checked)
    identity: Mapping[str, str] = field(factory=dict, converter=_checked)
    tokenizer: Path | None = field(default=None, converter=optional(Path))
    chat_template: str | None = None
    settings: Mapping[str, Setting] = field(factory=dict)
    unset: tuple[str, ...] = ()
    source_format: str | None = None
    force: bool = False
    dry_run: bool = False
    verify: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse words for fields that there are not, and a stamp that says nothing."""
        unknown = {*self.provenance} - {*PROVENANCE} | {*self.identity} - {*IDENTITY}
        if unknown:
            known = ", ".join((*PROVENANCE, *IDENTITY))
            raise UsageError(
                f"{', '.join(sorted(unknown))}: no such fields to stamp; take from"
                f" {known}"
            )
        words = (self.provenance, self.identity, self.settings, self.unset)
        if not any(words) and self.tokenizer is None and self.chat_template is None:
            raise UsageError("nothing to stamp: say at least one thing of the model")
