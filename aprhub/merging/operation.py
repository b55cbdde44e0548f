"""Merge: open the models, plan, blend when read, write by the road of all models."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from aprhub import conversion, lineage
from aprhub.adapters.operations import applied
from aprhub.check import checked
from aprhub.conversion import Announce, Opened
from aprhub.errors import UnrepresentableError, about
from aprhub.ir.casting import refuse_overflow
from aprhub.ir.encoding import ENCODINGS, F32, Encoding
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import Lifted
from aprhub.merging.agreement import check_agreement, shared_provenance
from aprhub.merging.blending import Operands, blended
from aprhub.merging.embedding import aligned
from aprhub.merging.plan import Origin, Plan, Planned, planned
from aprhub.merging.recipe import DTYPES, Recipe
from aprhub.merging.templates import chosen_template, unmarked
from aprhub.merging.vocabulary import (
    Vocabulary,
    check_same_vocabulary,
    vocabulary,
)
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.report import Report
from aprhub.spec.family import Family
from aprhub.spec.format import HF_WORLD
from aprhub.spec.merging import MergeMethod

_BY_TOKEN: Final = (EMBEDDING, HEAD)
"""The matrices that have a row for each token."""

_WORKERS: Final = min(os.cpu_count() or 1, 8)
"""One for each core: more of them would wait for the interpreter, not for the disk."""


def merge(
    recipe: Recipe,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> Report:
    """Merge the models of a recipe into one, and write it.

    What cannot be merged is refused before a tensor is read. Nothing stands under the
    target's name, or is changed there, unless everything succeeded.
    """
    start = time.perf_counter()
    given = merged(recipe, options, registry)
    options = evolve(options, workers=options.workers or _WORKERS)
    report = conversion.written(given, target, options, registry, announce)
    seconds = round(time.perf_counter() - start, 3)
    return evolve(report, seconds=seconds, inputs=recipe.models)


def merged(recipe: Recipe, options: ConvertOptions, registry: Registry) -> Opened:
    """Return the result of a recipe, checked; its tensors are blended when read.

    It stands in the place of the base, or else of the first model.
    """
    method = registry.method(recipe.method)
    sources = {path: _opened(path, options, registry) for path in recipe.models}
    models = {path: source.found.model for path, source in sources.items()}
    notes = check_agreement(models)
    root = sources[recipe.models[0]]
    spelled = _spelling(root.found.family, registry)
    plan = planned(recipe, method, models, spelled)
    tokens = _vocabulary(recipe, plan, options, registry)
    merging = _Merging(recipe, method, plan, sources, tokens)
    found = merging.lifted(notes)
    origins = [s.origin(hashed=options.hash_inputs) for s in sources.values()]
    step = lineage.step("merge", origins, _told(recipe, options))
    checksums = [each for s in sources.values() for each in s.stored.checksums]
    stored = evolve(root.stored, checksums=tuple(checksums))
    whole = Opened(stored, checked(found, root.stored))
    return whole.extended(step)


def _opened(path: Path, options: ConvertOptions, registry: Registry) -> Opened:
    """Open a model, or as `MODEL+ADAPTER` one with an adapter merged into it."""
    model, plus, adapter = str(path).partition("+")
    tuned = plus != "" and not path.exists()
    with about(path):
        base = Path(model) if tuned else path
        found = conversion.opened(base, registry, options.lift, options.source_format)
        if not tuned:
            return found
        path = Path(adapter).expanduser()
        return applied(found, path, registry, hashed=options.hash_inputs)


def _told(recipe: Recipe, options: ConvertOptions) -> Mapping[str, object]:
    """Return what the lineage tells; a recipe's dtype comes before an option's."""
    return {**options.told, **recipe.told, "seed": recipe.seed}


def _spelling(family: Family | None, registry: Registry) -> Callable[[str], str]:
    """Return what gives canonical names as a Hugging Face folder spells them."""
    if family is None:
        return lambda name: name
    naming = registry.naming(HF_WORLD)

    def spelled(name: str) -> str:
        found = naming.to_theirs(name, family)
        return found.stored if found else name

    return spelled


def _vocabulary(
    recipe: Recipe, plan: Plan, options: ConvertOptions, registry: Registry
) -> Vocabulary | None:
    """Return the vocabulary that a recipe asks for; without, all have to be one."""
    rows = [each for each in plan.tensors if each.name in _BY_TOKEN]
    paths = [origin.model for each in rows for origin in each.origins]
    models = {path: plan.models[path] for path in (recipe.models[0], *paths)}
    policy = recipe.tokenizer
    if policy is None:
        check_same_vocabulary(models, [*models])
        return None
    donor = None
    if isinstance(policy.source, Path):
        known = plan.models.get(policy.source)
        donor = known or _opened(policy.source, options, registry).found.model
    compared = (each.base.model for each in rows if each.base)
    return vocabulary(policy, models, next(compared, recipe.base), donor)


@frozen
class _Merging:
    """Makes the model of a plan."""

    recipe: Recipe
    method: MergeMethod
    plan: Plan
    sources: Mapping[Path, Opened]
    tokens: Vocabulary | None

    def lifted(self, notes: tuple[str, ...]) -> Lifted:
        """Return the result as if it came from the file of the base."""
        root = self.sources[self.recipe.models[0]].found
        model, steps, more = self._model(root.model)
        used = {each.name: each.origins[0] for each in self.plan.tensors}
        names = {name: self._stored(origin) for name, origin in used.items()}
        return evolve(
            root,
            model=model,
            sources={name: stored for name, stored in names.items() if stored},
            steps=steps,
            notes=(*root.notes, *self._listed(), *notes, *more),
        )

    def _stored(self, origin: Origin) -> str | None:
        """Return how a tensor is called in its file; a tied head is in none."""
        return self.sources[origin.model].found.sources.get(origin.name)

    def _model(
        self, root: ModelIR
    ) -> tuple[ModelIR, dict[str, tuple[str, ...]], tuple[str, ...]]:
        tensors, steps = {}, {}
        for each in self.plan.tensors:
            tensors[each.name], steps[each.name] = self._tensor(each)
        provenance, notes = shared_provenance(
            {path: source.found.model for path, source in self.sources.items()}
        )
        config = self.plan.config
        if self.tokens:
            config = evolve(config, vocab_size=self.tokens.rows)
        model = evolve(
            root,
            config=config,
            tensors=tensors,
            tokenizer=self._tokenizer(root),
            provenance=provenance,
            native={},
        )
        marks = unmarked(self.recipe.chat_template, self.recipe.models[0], model)
        return model, steps, (*notes, *marks, *_decoded(steps.values()))

    def _tokenizer(self, root: ModelIR) -> Tokenizer | None:
        tokenizer = self.tokens.tokenizer if self.tokens else root.tokenizer
        template = self.recipe.chat_template
        if tokenizer is None or template is None:
            return tokenizer
        chosen = chosen_template(template, self.plan.models)
        return evolve(tokenizer, chat_template=chosen)

    def _tensor(self, each: Planned) -> tuple[Tensor, tuple[str, ...]]:
        inputs = {origin: self._input(each, origin) for origin in each.origins}
        first = inputs[each.origins[0]]
        encoding = self._encoding(each.name, first)
        if self.method.keeps(each.settings):
            steps = self.sources[each.origins[0].model].found.steps
            return self._kept(each.name, first), steps.get(each.origins[0].name, ())
        models = [inputs[origin] for origin in each.models]
        base = inputs[each.base] if each.base else None
        key = (each.name, self.recipe.seed)
        operands = Operands.of(models, base, each.settings, key)
        tensor = blended(each.name, self.method, operands, encoding)
        quantised = sorted(
            {i.encoding.name for i in inputs.values() if i.encoding.is_quantized}
        )
        decoded = tuple(f"decoded from {name}" for name in quantised)
        return tensor, (*decoded, f"merged by {self.method.name}")

    def _kept(self, name: str, tensor: Tensor) -> Tensor:
        if self.recipe.dtype is None:
            return tensor
        encoding = ENCODINGS[DTYPES[self.recipe.dtype]]
        return tensor.cast(encoding, refuse_overflow(name, encoding))

    def _input(self, each: Planned, origin: Origin) -> Tensor:
        tensor = self.plan.models[origin.model].tensors[origin.name]
        if self.tokens is None or each.name not in _BY_TOKEN:
            return tensor
        paths = [other.model for other in each.origins]
        tables = {
            other.model: self.plan.models[other.model].tensors[other.name]
            for other in each.origins
        }
        rows = self.tokens.of(origin.model, paths)
        return aligned(origin.model, tables, rows, self.tokens.rows)

    def _encoding(self, name: str, first: Tensor) -> Encoding:
        """Return how a merged tensor is stored: as asked, or as that of the base."""
        if self.recipe.dtype is not None:
            return ENCODINGS[DTYPES[self.recipe.dtype]]
        if first.encoding.is_quantized:
            return F32
        if not first.encoding.is_float:
            raise UnrepresentableError(
                name,
                f"is {first.encoding.name}, and only floats are merged; choose dtype"
                " f32 for the result",
            )
        return first.encoding

    def _listed(self) -> Iterator[str]:
        paths = self.recipe.models
        listed = ", ".join(map(str, paths))
        yield f"merged by {self.method.name} from {len(paths)} models: {listed}"


def _decoded(steps: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Say how many tensors were decoded, and from what."""
    counts = Counter(
        step for each in steps for step in each if step.startswith("decoded from")
    )
    for step, count in sorted(counts.items()):
        yield f"{count} tensors were {step}: what quantising lost stays lost"
