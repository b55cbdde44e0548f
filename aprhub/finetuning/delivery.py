"""Delivery: the best of a run, where its user wants it and in the form they want."""

from pathlib import Path

from aprhub.adapters.making import AdapterConversion, converted, target_layout
from aprhub.adapters.operations import AdapterMerge, merged
from aprhub.adapters.writing import WriteOptions
from aprhub.conversion import convert
from aprhub.detect import target_format
from aprhub.errors import TargetExistsError
from aprhub.finetuning.options import FinetuneOptions
from aprhub.options import ConvertOptions
from aprhub.registry import Registry


def refuse_undeliverable(
    target: Path, options: FinetuneOptions, registry: Registry
) -> None:
    """Refuse before hours of training what would be refused after them."""
    if options.low_rank is None or options.merge:
        target_format(target, registry)
    else:
        target_layout(target, registry, None)
    if target.exists():
        raise TargetExistsError(target)


def deliver(
    best: Path, target: Path, options: FinetuneOptions, registry: Registry
) -> None:
    """Write a model, an adapter, or a base with an adapter merged into it."""
    if options.low_rank is None:
        convert(best, target, ConvertOptions(), registry)
    elif options.merge:
        merge = AdapterMerge(options.init, (best,), layout=options.layout)
        read = ConvertOptions(
            source_format=options.source_format,
            naming=options.naming,
            family=options.family,
        )
        merged(merge, target, read, registry)
    else:
        wanted = AdapterConversion(options.init, (best,), from_layout=options.layout)
        converted(wanted, target, WriteOptions(), registry)
