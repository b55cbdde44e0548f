"""The layouts in which adapters are stored, and the names that trainers give them."""

from collections.abc import Iterable

from aprhub.api import AdapterLayout, Naming, hookimpl


@hookimpl
def provide_adapter_layouts() -> Iterable[AdapterLayout]:
    """Return the layouts."""
    from aprhub_adapters import contained, entrenar, gguf, names, peft

    return (
        peft.LAYOUT,
        entrenar.LAYOUT,
        names.LAYOUT,
        contained.LAYOUT,
        gguf.LAYOUT,
    )


@hookimpl
def provide_namings() -> Iterable[Naming]:
    """Return the naming of a trainer."""
    from aprhub_adapters.projections import NAMING

    return (NAMING,)
