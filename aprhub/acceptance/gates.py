"""The gates, and how a model is sent through them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from attrs import define

from aprhub.acceptance.verdicts import (
    FAIL,
    PASS,
    SKIP,
    Acceptance,
    AcceptanceOptions,
    Verdict,
)
from aprhub.conversion import Opened, opened
from aprhub.decoder.parity import STEPS, least_deviation, parity
from aprhub.decoder.scoring import score
from aprhub.decoder.text import prompt_ids
from aprhub.detect import identify
from aprhub.errors import AprhubError, ModelCheckError, about
from aprhub.generating import PROMPT, Generation, Writer, speed
from aprhub.options import RunOptions
from aprhub.registry import Registry
from aprhub.sampling import Sampling
from aprhub.tokenizer.parity import loaded_program
from aprhub.tokenizer.probes import PROBES

LEARNED: Final = 0.75
"""What share of the loss of a model that knows nothing, ln(vocabulary), a trained one
stays below on plain English."""

PROSE: Final = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it"
    " was the age of foolishness, it was the epoch of belief, it was the epoch of"
    " incredulity, it was the season of Light, it was the season of Darkness, it was"
    " the spring of hope, it was the winter of despair, we had everything before us,"
    " we had nothing before us, we were all going direct to Heaven, we were all going"
    " direct the other way."
)
"""The beginning of Dickens's A Tale of Two Cities, 1859."""


class _SkippedError(AprhubError):
    """Says why a gate has nothing to judge."""


@define
class _Candidate:
    """A model on its way through the gates."""

    path: Path
    options: AcceptanceOptions
    registry: Registry
    _opened: Opened | None = None
    _writer: Writer | None = None

    @property
    def opened(self) -> Opened:
        """What the gate `tensors` opened."""
        if self._opened is None:
            raise _SkippedError("needs the gate tensors, which did not pass")
        return self._opened

    @property
    def writer(self) -> Writer:
        """What the gate `forward` loaded."""
        if self._writer is None:
            raise _SkippedError("needs the gate forward, which did not pass")
        return self._writer

    def container(self) -> str:
        """Judge whether the file is whole: header, index, extents."""
        source_format = self.options.run.source_format
        stored = identify(self.path, self.registry, source_format).opened(self.path)
        return f"{stored.format}, {len(stored.tensors)} tensors"

    def tensors(self) -> str:
        """Judge whether all weights are there, in the shapes of the configuration."""
        run = self.options.run
        self._opened = opened(self.path, self.registry, run.lift, run.source_format)
        family = self._opened.found.family
        if family is None:
            what = "with names kept, it has no family; leave out --naming keep"
            raise ModelCheckError(self.path, what)
        return f"a whole {family.name} model"

    def metadata(self) -> str:
        """Judge whether programs that read the format find what they need."""
        stored = self.opened.stored
        writer = identify(self.path, self.registry, self.options.run.source_format)
        faults = writer.runnable(stored)
        if faults:
            raise ModelCheckError(self.path, f"would not run as {writer.title}", faults)
        return f"runs as {writer.title}"

    def identity(self) -> str:
        """Judge whether the file says what it is."""
        identity = self.opened.found.model.config.identity
        said = (identity.architecture, identity.hf_class, identity.hf_model_type)
        words = [each for each in said if each]
        if not words:
            what = (
                "it names no architecture; say it with 'aprhub stamp --architecture',"
                " for a Hugging Face folder with --hf-architecture"
            )
            raise ModelCheckError(self.path, what)
        return ", ".join(words)

    def tokenizer(self) -> str:
        """Judge whether the tokenizer loads, and each id has a row of the embedding."""
        model = self.opened.found.model
        if model.tokenizer is None:
            what = "it has no tokenizer; give it one with 'aprhub stamp --tokenizer'"
            raise ModelCheckError(self.path, what)
        program = loaded_program(model.tokenizer)
        rows = model.config.vocab_size or 0
        highest = max(max(program.encode(text).ids, default=0) for text in PROBES)
        if highest >= rows:
            what = (
                f"its tokenizer makes token {highest}, the embedding has {rows} rows;"
                " give it its own with 'aprhub stamp --tokenizer'"
            )
            raise ModelCheckError(self.path, what)
        return f"{program.get_vocab_size()} tokens, {rows} rows"

    def forward(self) -> str:
        """Judge whether the model computes logits, finite and not all the same."""
        path = self.opened.stored.path
        writer = Writer.of(path, self.options.run, self.registry)
        ids = prompt_ids(PROMPT, writer.given.tokenizer)
        deviation = least_deviation(writer.decoder, ids)
        self._writer = writer
        return f"finite, deviation {deviation:.3g} or more"

    def golden_output(self) -> str:
        """Judge whether the model has learned plain English."""
        ids = prompt_ids(PROSE, self.writer.given.tokenizer)
        loss = score(self.writer.decoder, np.array([ids], np.int64)).loss
        rows = self.writer.given.model.config.vocab_size or 1
        bound = LEARNED * math.log(rows)
        text = "".join(
            Generation(self.writer, PROMPT, Sampling(self.options.max_tokens))
        )
        told = f"loss {loss:.2f} on English prose, {text!r:.60} after the prompt"
        if loss > bound:
            what = (
                f"{told}; a trained model stays below {bound:.2f}: train it further, or"
                " leave this out with --skip-golden-output"
            )
            raise ModelCheckError(self.path, what)
        return told

    def format_parity(self) -> str:
        """Judge whether another file of the model computes the same."""
        against = self.options.against
        if against is None:
            raise _SkippedError("no other file of this model is given (--against)")
        mine = self.writer
        other = Writer.of(against, RunOptions(), self.registry)
        ids = prompt_ids(PROMPT, mine.given.tokenizer)
        with about(against):
            found = parity(mine.decoder, other.decoder, ids)
        return (
            f"{found.agreed} of {STEPS} steps prefer one token,"
            f" least cosine {found.least:.4f}"
        )

    def throughput(self) -> str:
        """Judge whether the model is as fast as demanded."""
        options = self.options
        if options.floor is None:
            raise _SkippedError("no speed is demanded (--assert-tps)")
        runs = options.max_tokens, options.iterations, options.floor, options.warmup
        found = speed(self.writer, *runs)
        told = f"{found.tokens_per_second:.1f} tokens/s"
        if not found.passed:
            what = (
                f"{told}, {options.floor:g} are demanded; lower --assert-tps, or run on"
                " a faster machine"
            )
            raise ModelCheckError(self.path, what)
        return told


GATES: Final[Mapping[str, Callable[[_Candidate], str]]] = {
    "container": _Candidate.container,
    "tensors": _Candidate.tensors,
    "metadata": _Candidate.metadata,
    "identity": _Candidate.identity,
    "tokenizer": _Candidate.tokenizer,
    "forward": _Candidate.forward,
    "golden_output": _Candidate.golden_output,
    "format_parity": _Candidate.format_parity,
    "throughput": _Candidate.throughput,
}
"""The gates in their order; what they say when they pass."""


def accepted(path: Path, options: AcceptanceOptions, registry: Registry) -> Acceptance:
    """Send a model through all gates. What is wrong with it fails a gate."""
    candidate = _Candidate(path, options, registry)
    verdicts = tuple(_verdicts(candidate))
    return Acceptance(path, verdicts, options.min_executed)


def _verdicts(candidate: _Candidate) -> Iterator[Verdict]:
    for name, gate in GATES.items():
        if name in candidate.options.skipped:
            yield Verdict(name, SKIP, "left out as asked")
            continue
        start = time.perf_counter()
        outcome, reason = _asked(gate, candidate)
        yield Verdict(name, outcome, reason, time.perf_counter() - start)


def _asked(gate: Callable[[_Candidate], str], candidate: _Candidate) -> tuple[str, str]:
    try:
        return PASS, gate(candidate)
    except _SkippedError as left:
        return SKIP, str(left)
    except AprhubError as error:
        return FAIL, str(error)
