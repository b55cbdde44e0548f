"""Declares the markers of the conformance suites.

Imported in every pytest run of an environment that has aprhub, so it imports nothing.
"""

from typing import Any


def pytest_configure(config: Any) -> None:
    """Declare the markers, so that suites run under `--strict-markers`."""
    config.addinivalue_line(
        "markers", "conformance: a check that aprhub.testing holds a plugin to"
    )
