"""Logits: what both models compute, by the decoder and by programs that are asked.

The source is run with the tensors of the target where these were found to be what the
source becomes in their encoding: so what a quantised model may differ by is left out,
and no more tolerance is needed for it than for any other.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.errors import JudgeError, ModelError, UsageError
from aprhub.ir.model import ModelIR
from aprhub.judges.agreement import agreement
from aprhub.lift import Lifted
from aprhub.tokenizer import token_ids
from aprhub.verification.verdict import Finding, LogitsVerdict, TensorVerdict

Logits = NDArray[np.float32]

DECODER: Final = "aprhub"
FORMATS: Final[Mapping[str, str]] = {"llama.cpp": "gguf", "transformers": "safetensors"}
"""The format of the files that each judge runs."""

TOLERANCE: Final = 1e-5
"""How far the decoder's logits of equal weights may be apart: it adds in f32."""
JUDGED: Final = 1e-3
"""The same of another program, all weights being f32."""
JUDGED_NARROW: Final = 5e-2
"""The same at the median position, where weights are narrower: llama.cpp rounds what
they are multiplied with to their own float, or to blocks of 8 bits, and then other
experts may be chosen at some positions."""

TEXTS: Final = (
    "Nothing is lost on the way: every tensor keeps its bytes, 12 of 345.\n",
    "def mean(values):\n    return sum(values) / len(values)  # Съешь же 我能吞下玻璃",
)
LONGEST: Final = 48
"""Tokens of a text that are run, at most."""


@frozen
class Side:
    """A model that can be run, with the file that it is in and what that is."""

    path: Path
    format: str
    lifted: Lifted

    def is_run_by(self, judge: str) -> bool:
        """Whether a judge reads this format."""
        return self.format == FORMATS[judge]


def refuse_idle_judges(sides: Sequence[Side], judges: Sequence[str]) -> None:
    """Raise UsageError for a judge that can run none of some models."""
    for judge in judges:
        if not any(side.is_run_by(judge) for side in sides):
            formats = " and ".join(dict.fromkeys(side.format for side in sides))
            raise UsageError(
                f"--against {judge} has nothing to judge: it runs {FORMATS[judge]},"
                f" found {formats}; leave it out"
            )


@frozen
class LogitsComparison:
    """The logits of two models on built-in texts."""

    source: Side
    target: Side
    verdicts: Sequence[TensorVerdict]
    judges: tuple[str, ...]
    prompts: list[list[int]] = field(init=False)

    @prompts.default
    def _prompts(self) -> list[list[int]]:
        """Return ids of tokens that both models have."""
        model, other = self.source.lifted.model, self.target.lifted.model
        rows = min(each.config.vocab_size or 0 for each in (model, other))
        limit = min(LONGEST, model.config.max_position_embeddings or LONGEST)
        texts = [list(range(1, limit))]
        if model.tokenizer is not None:
            texts = token_ids(model.tokenizer, TEXTS)
        return [[each for each in ids if each < rows][:limit] for ids in texts]

    def found(self) -> Iterator[LogitsVerdict | Finding]:
        """Yield how far logits are apart; a finding where a model cannot be run."""
        try:
            ours = _computed(self._reference(), self.source.lifted, self.prompts)
            target = self.target.lifted
            theirs = _computed(target.model, target, self.prompts)
            for verdict in self._verdicts(ours, theirs):
                yield verdict
                if not verdict.difference <= verdict.tolerance:
                    yield Finding("logits", "logits", str(verdict))
        except (JudgeError, ModelError) as error:
            yield Finding("logits", "logits", str(error))

    def _verdicts(
        self, ours: list[Logits], theirs: list[Logits]
    ) -> Iterator[LogitsVerdict]:
        """Compare the decoder's logits, and a judge's of one with the other's."""
        yield _apart((DECODER, ours), (DECODER, theirs))
        narrow = any(each.encodings[1] not in ("f32", "") for each in self.verdicts)
        for judge in self.judges:
            if self.target.is_run_by(judge):
                found = judge, _asked(judge, self.target.path, self.prompts)
                yield _apart((DECODER, ours), found, narrow=narrow)
            if self.source.is_run_by(judge) and not self._changed():
                expected = judge, _asked(judge, self.source.path, self.prompts)
                yield _apart(expected, (DECODER, theirs), narrow=narrow)

    def _reference(self) -> ModelIR:
        """Return the source with the tensors that the target has in its own way."""
        model, found = self.source.lifted.model, self.target.lifted.model.tensors
        tensors = {name: found[name] for name in self._changed()}
        return evolve(model, tensors={**model.tensors, **tensors})

    def _changed(self) -> list[str]:
        ways = ("rounded", "encoded", "bounded")
        return [each.name for each in self.verdicts if each.outcome in ways]


def _apart(
    expected: tuple[str, list[Logits]],
    found: tuple[str, list[Logits]],
    *,
    narrow: bool = False,
) -> LogitsVerdict:
    pairs = zip(found[1], expected[1], strict=True)
    results = [agreement(*pair) for pair in pairs]
    judged = JUDGED_NARROW if narrow else JUDGED
    return LogitsVerdict(
        expected[0],
        found[0],
        max(each.typical if narrow else each.difference for each in results),
        min(each.same_choices for each in results),
        TOLERANCE if expected[0] == found[0] else judged,
    )


def _computed(
    model: ModelIR, lifted: Lifted, prompts: Sequence[Sequence[int]]
) -> list[Logits]:
    from aprhub.decoder.measuring import logits
    from aprhub.decoder.weights import loaded

    if lifted.family is None:
        raise UsageError(
            "with names kept, nothing is known of how a model computes; leave out"
            " --naming keep"
        )
    decoder = loaded(model, lifted.family).decoder
    return [logits(decoder, ids) for ids in prompts]


def _asked(judge: str, path: Path, prompts: Sequence[Sequence[int]]) -> list[Logits]:
    if judge == "transformers":
        from aprhub.judges.hf import logits_of

        return logits_of(path, prompts)
    from aprhub.judges.llama import Llama

    with Llama.load(path) as model:
        return [model.logits(ids) for ids in prompts]
