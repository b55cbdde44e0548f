r"""Regular expressions brought to one spelling, so that equal ones compare equal.

Files write the same expression in several ways: with `\r` or the character itself,
with `{1}` or nothing, with possessive or greedy repetition (the same here, since no
alternative could use what a possessive one keeps), and the contractions of English
in three forms.
"""

import re
from typing import Final

from aprhub.tokenizer.splits import CONTRACTIONS

_SPELLINGS: Final = (
    ("\r", r"\r"),
    ("\n", r"\n"),
    ("\t", r"\t"),
    (
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
        CONTRACTIONS,
    ),
    (r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])", CONTRACTIONS),
    (r"'(?i:[sdmt]|ll|ve|re)", CONTRACTIONS),
)
_PIECES: Final = re.compile(
    r"""
    (?P<kept>\\. | \[ (?:\\. | [^\]\\])+ \])  # an escape, or a class of characters
    | (?P<once>\{1\})
    | (?P<greedy>[?*+]) \+                    # possessive
    """,
    re.VERBOSE | re.DOTALL,
)


def normalised(expression: str) -> str:
    """Return the expression in the one spelling."""
    for theirs, ours in _SPELLINGS:
        expression = expression.replace(theirs, ours)
    return _PIECES.sub(_one_spelling, expression)


def _one_spelling(found: re.Match[str]) -> str:
    return found["kept"] or found["greedy"] or ""
