"""Licences: whether a text names one that people and programs can look up.

Identifiers and expressions are those of SPDX, as the `packaging` library knows them; a
licence outside of its list is `LicenseRef-NAME`. Five words more are accepted, which
programs that read APR files take for model licences (`spdx.rs` of apr-cli).
"""

from difflib import get_close_matches
from typing import Final

from aprhub.errors import UsageError

MODEL_LICENSES: Final = ("llama2", "llama3", "llama3.1", "gemma", "custom")

_NONE: Final = frozenset({"unknown", "proprietary", "tbd", "none", "other"})

_COMMON: Final = (
    *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense"),
    *("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"),
    *("CC-BY-NC-ND-4.0", "MPL-2.0", "LGPL-2.1-only", "LGPL-3.0-only", "GPL-2.0-only"),
    *("GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "EPL-2.0", "ODbL-1.0"),
    *("BSL-1.0", "AFL-3.0", "Artistic-2.0", "CDLA-Permissive-2.0"),
)
"""The identifiers that models and data sets mostly have, to suggest them."""


def checked(text: str) -> str:
    """Return a licence in the spelling of SPDX; raises UsageError where it names none.

    `MIT OR Apache-2.0` and other expressions are licences, too.
    """
    from packaging.licenses import (
        InvalidLicenseExpression,
        canonicalize_license_expression,
    )

    word = text.strip()
    if word.lower() in MODEL_LICENSES:
        return word.lower()
    try:
        return str(canonicalize_license_expression(word))
    except InvalidLicenseExpression as error:
        raise UsageError(
            f"licence {text!r:.80} is no SPDX identifier or expression; take one of"
            f" https://spdx.org/licenses{_hint(word)}"
        ) from error


def _hint(word: str) -> str:
    spelled = {each.lower(): each for each in (*_COMMON, *MODEL_LICENSES)}
    near = get_close_matches(word.lower().replace(" ", "-"), spelled, 1, 0.7)
    if near:
        return f"; did you mean {spelled[near[0]]!r}?"
    if word.lower() in _NONE:
        return ", which everybody can look up"
    return f", or 'LicenseRef-{_name(word) or 'NAME'}' for another"


def _name(word: str) -> str:
    letters = (each if each.isalnum() or each in ".-" else "-" for each in word)
    return "".join(letters).strip("-")
