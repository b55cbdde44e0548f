"""Licences: SPDX's identifiers and expressions, and no word that says nothing."""

import pytest

from aprhub.errors import UsageError
from aprhub.licenses import checked


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("mit", "MIT"),
        (" apache-2.0 ", "Apache-2.0"),
        ("LGPL-2.1", "LGPL-2.1"),
        ("MIT or (apache-2.0 and isc)", "MIT OR (Apache-2.0 AND ISC)"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("GPL-3.0-or-later", "GPL-3.0-or-later"),
        ("LicenseRef-acme.1", "LicenseRef-acme.1"),
        ("Llama3.1", "llama3.1"),
        ("gemma", "gemma"),
    ],
)
def test_a_licence_is_spelled_as_spdx_does(text: str, spelled: str) -> None:
    assert checked(text) == spelled


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Apache2.0", "did you mean 'Apache-2.0'?"),
        ("cc-by-sa 4.0", "did you mean 'CC-BY-SA-4.0'?"),
        ("llama-3", "did you mean 'llama3'?"),
        ("Acme Model Terms", "'LicenseRef-Acme-Model-Terms'"),
        ("MIT AND", "is no SPDX identifier or expression"),
        ("", "'LicenseRef-NAME'"),
        ("proprietary", "which everybody can look up"),
        ("TBD", "which everybody can look up"),
    ],
)
def test_what_is_no_licence_is_refused_with_a_near_one(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        checked(text)

    assert hint in str(error.value)
    assert repr(text) in str(error.value)
