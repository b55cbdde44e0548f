"""The architectures that aprhub knows: one TOML table each, in `tables/`."""

from collections.abc import Iterable

from aprhub.api import Family, hookimpl


@hookimpl
def provide_families() -> Iterable[Family]:
    """Return every family that has a table."""
    from aprhub_families.loader import families

    return families()
