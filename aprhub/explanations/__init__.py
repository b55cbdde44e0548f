"""Explanations: a page for each id that the program shows, as Markdown beside this."""

import re
from pathlib import Path
from typing import Final

from attrs import frozen

from aprhub.errors import UnknownNameError

HEADINGS: Final = ("What", "Why", "Example", "Repair")
"""The sections of a page, in order."""

_FOLDER: Final = Path(__file__).parent
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


@frozen
class Explanation:
    """What an id means: a sentence, and a text under each heading."""

    id: str
    sentence: str
    sections: tuple[str, ...]

    def __str__(self) -> str:
        """Return the page."""
        parts = (f"## {h}\n\n{t}" for h, t in zip(HEADINGS, self.sections, strict=True))
        return "\n\n".join((f"# {self.id}", self.sentence, *parts))


def explained_ids() -> list[str]:
    """Return the ids that have a page."""
    return sorted(page.stem for page in _FOLDER.glob("*.md"))


def explanation(name: str) -> Explanation:
    """Return the page of an id, in upper or lower case.

    Raises UnknownNameError, with a near miss, where there is none.
    """
    known = {each.lower(): each for each in explained_ids()}
    if name.lower() not in known:
        raise UnknownNameError("id", name, known.values())
    return _parsed((_FOLDER / f"{known[name.lower()]}.md").read_text("utf-8"))


def _parsed(page: str) -> Explanation:
    """Take a page apart; its headings are as the tests demand."""
    head, *rest = _SECTION.split(page)
    title, _, sentence = head.strip().partition("\n")
    texts = tuple(text.strip() for text in rest[1::2])
    return Explanation(title.removeprefix("# "), sentence.strip(), texts)
