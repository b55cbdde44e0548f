"""The layouts in which adapters are stored, and the names that trainers give them."""

from collections.abc import Iterable

from aprhub.api import AdapterLayout, Naming, hookimpl
from aprhub_adapters import entrenar, peft


@hookimpl
def provide_adapter_layouts() -> Iterable[AdapterLayout]:
    """Return the layouts."""
    return (peft.LAYOUT, entrenar.LAYOUT)


@hookimpl
def provide_namings() -> Iterable[Naming]:
    """Return the naming of a trainer."""
    return (entrenar.NAMING,)
