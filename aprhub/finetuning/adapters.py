"""Adapters as what a run trains: pairs beside the weights of a model that stay."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import asdict, frozen

from aprhub.adapters.writing import AdapterWriter, WriteOptions
from aprhub.conversion import Opened, opened
from aprhub.errors import UsageError
from aprhub.finetuning.options import FinetuneOptions
from aprhub.ir.model import LineageStep
from aprhub.lineage import model_fingerprint
from aprhub.low_rank import LowRankOptions
from aprhub.pretraining.products import Weights
from aprhub.registry import Registry
from aprhub.spec.adapter import AdapterLayout

if TYPE_CHECKING:
    from aprhub.decoder.model import Decoder


@frozen
class Pairs:
    """Low-rank pairs for a base, kept as adapters in a layout."""

    base: Opened
    layout: AdapterLayout
    low_rank: LowRankOptions
    seed: int
    registry: Registry

    @classmethod
    def of(
        cls, options: FinetuneOptions, low_rank: LowRankOptions, registry: Registry
    ) -> Self:
        """Return what the options ask for.

        Raises UsageError for a layout that is only read.
        """
        layout = registry.adapter_layout(options.layout)
        if layout.lay_out is None:
            raise UsageError(
                f"layout {layout.name} is only read, not written; choose another with"
                " --layout, such as peft"
            )
        base = opened(options.init, registry, options.lift, options.source_format)
        return cls(base, layout, low_rank, options.course.seed, registry)

    @property
    def suffix(self) -> str:
        """How the name of an adapter ends; nothing where it is a folder."""
        if self.layout.files:
            return ""
        return self.registry.format(self.layout.format).extensions[0]

    @property
    def told(self) -> Mapping[str, Any]:
        """What pairs there are, and beside which weights: all of these are read."""
        targets = list(self.low_rank.targets)
        base = model_fingerprint(self.base.found.model)
        return {**asdict(self.low_rank), "targets": targets, "base": base}

    def outline(self, decoder: "Decoder") -> None:
        """Let the weights that are to be quantised be so as they are loaded."""
        from aprhub.training.low_rank import quantize

        quantize(decoder, self.low_rank)

    def prepare(self, decoder: "Decoder") -> None:
        """Put the pairs in; refuse at once what the layout could not hold later."""
        from aprhub.training.low_rank import adapt
        from aprhub.training.optimizer import values_of

        adapt(decoder, self.low_rank, self.seed)
        unwritten = WriteOptions(force=True, dry_run=True)
        self._write(values_of(decoder), Path(f"adapter{self.suffix}"), unwritten)

    def save(self, weights: Weights, path: Path, _step: LineageStep) -> None:
        """Write the pairs; no layout of adapters has room for a lineage."""
        self._write(weights, path, WriteOptions(force=True))

    def _write(self, weights: Weights, path: Path, options: WriteOptions) -> None:
        from aprhub.training.low_rank import adapter_of

        writer = AdapterWriter(self.base, self.layout, self.registry, options)
        writer.written(adapter_of(weights, self.low_rank), path)
