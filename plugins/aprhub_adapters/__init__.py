"""The layouts in which adapters are stored, and the names that a trainer gives them."""

from collections.abc import Iterable

from aprhub.api import AdapterLayout, Naming, hookimpl
from aprhub_adapters.layouts import LAYOUTS
from aprhub_adapters.projections import NAMING


@hookimpl
def provide_adapter_layouts() -> Iterable[AdapterLayout]:
    """Return the layouts."""
    return LAYOUTS


@hookimpl
def provide_namings() -> Iterable[Naming]:
    """Return the naming of a trainer."""
    return (NAMING,)
