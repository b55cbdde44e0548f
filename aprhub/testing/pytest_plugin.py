"""Declares the marker of the conformance suites, and has their asserts explained.

Imported in every pytest run of an environment that has aprhub, so it imports nothing
of aprhub.
"""

import pytest

SUITES = ("adapters", "codecs", "families", "formats", "namings")

pytest.register_assert_rewrite(*(f"aprhub.testing.{name}" for name in SUITES))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, so that suites run under `--strict-markers`."""
    config.addinivalue_line(
        "markers", "conformance: a check that aprhub.testing holds a plugin to"
    )
