"""The text model in a model that sees or hears, in the names of transformers."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from aprhub.spec.format import StoredModel

_PREFIXED = re.compile(
    r"(?:language_model\.(?=model\.|lm_head\.)|(?P<inner>model\.)language_model\.)(.+)"
)


@frozen
class TextPart:
    """The text model in a model that sees or hears.

    `model_type` is its type in the words of transformers. `narrowed` takes the whole
    and the name of the text model's class, and returns it as that: the names and the
    metadata of the text model, and whatever else there is as it was.
    """

    model_type: str | None
    narrowed: "Callable[[StoredModel, str], StoredModel]" = field(eq=False, repr=False)


def name_in_text_model(name: str) -> str:
    """Return the name that a tensor of the whole has in its text model, or the same.

    It has a prefix, which depends on the version of transformers that saved it.
    """
    found = _PREFIXED.fullmatch(name)
    return f"{found['inner'] or ''}{found[2]}" if found else name
