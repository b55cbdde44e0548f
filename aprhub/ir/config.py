"""ModelConfig: the hyper-parameters of a model in one vocabulary."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import asdict, evolve, field, fields, frozen, validators

_int = validators.optional(
    validators.and_(
        validators.instance_of(int), validators.not_(validators.instance_of(bool))
    )
)
_number = validators.optional(validators.instance_of((int, float)))
_flag = validators.optional(validators.instance_of(bool))


def _frozen_mapping(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


def _factors(values: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


@frozen
class RopeScaling:
    """How rotary frequencies are stretched beyond the trained context.

    `kind` is `linear`, `llama3`, `yarn`, `longrope` or `dynamic`; the rest is None
    where the kind does not use it. `factors` is what no other kind expresses: the
    divisors of the frequencies themselves, in `long_factor`. A `llama3` that came from
    factors which other programs rounded differently has them there too. `truncate` is
    False where the ramp of a `yarn` does not begin and end at whole pairs.
    """

    kind: str
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    truncate: bool | None = field(default=None, validator=_flag)
    short_factor: tuple[float, ...] | None = field(default=None, converter=_factors)
    long_factor: tuple[float, ...] | None = field(default=None, converter=_factors)


@frozen
class Identity:
    """What a file says it is, in the words of each world; None where it is silent.

    `architecture` is the slug of GGUF or APR, `hf_class` the class name and
    `hf_model_type` the `model_type` of a Hugging Face `config.json`.
    """

    architecture: str | None = None
    hf_class: str | None = None
    hf_model_type: str | None = None
    hints: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[str, ...]:
        """Return every claim that is made."""
        found = (self.architecture, self.hf_class, self.hf_model_type)
        return tuple(claim for claim in found if claim)


@frozen
class ModelConfig:
    """The family and its hyper-parameters; None means that no source says.

    Sizes count elements. `family` is the slug of a known family, or None when names
    were kept as they are. `rope_theta` is the base of the rotary frequencies,
    `rope_local_theta` that of sliding-window layers, `rotary_dim` how many elements of
    a head are rotated, where that is not all. `layer_kinds` says for each layer whether
    it is `full` or `sliding` attention, where they differ. `bidirectional` is True
    where tokens see those behind them, too, as in models that embed texts.
    `norm_topk_prob` says whether the weights of the chosen experts are made to sum to
    one.
    """

    family: str | None = None
    identity: Identity = field(factory=Identity)
    hidden_size: int | None = field(default=None, validator=_int)
    num_layers: int | None = field(default=None, validator=_int)
    num_heads: int | None = field(default=None, validator=_int)
    num_kv_heads: int | None = field(default=None, validator=_int)
    head_dim: int | None = field(default=None, validator=_int)
    vocab_size: int | None = field(default=None, validator=_int)
    intermediate_size: int | None = field(default=None, validator=_int)
    max_position_embeddings: int | None = field(default=None, validator=_int)
    norm_eps: float | None = field(default=None, validator=_number)
    rope_theta: float | None = field(default=None, validator=_number)
    rope_local_theta: float | None = field(default=None, validator=_number)
    rope_scaling: RopeScaling | None = None
    rotary_dim: int | None = field(default=None, validator=_int)
    sliding_window: int | None = field(default=None, validator=_int)
    layer_kinds: tuple[str, ...] | None = None
    tie_embeddings: bool | None = field(default=None, validator=_flag)
    attention_bias: bool | None = field(default=None, validator=_flag)
    mlp_bias: bool | None = field(default=None, validator=_flag)
    activation: str | None = None
    query_scale: float | None = field(default=None, validator=_number)
    bidirectional: bool | None = field(default=None, validator=_flag)
    attention_softcap: float | None = field(default=None, validator=_number)
    final_softcap: float | None = field(default=None, validator=_number)
    num_experts: int | None = field(default=None, validator=_int)
    num_experts_per_tok: int | None = field(default=None, validator=_int)
    moe_intermediate_size: int | None = field(default=None, validator=_int)
    shared_intermediate_size: int | None = field(default=None, validator=_int)
    norm_topk_prob: bool | None = field(default=None, validator=_flag)
    extra: Mapping[str, Any] = field(factory=dict, converter=_frozen_mapping)

    def filled(self, values: Mapping[str, Any]) -> "ModelConfig":
        """Return the configuration with values put where there are none."""
        missing = {k: v for k, v in values.items() if getattr(self, k) is None}
        return evolve(self, **missing)

    def known(self) -> dict[str, Any]:
        """Return the fields that have a value, as plain JSON-like data."""
        values = asdict(self, recurse=True, filter=lambda _, value: value is not None)
        return {name: value for name, value in values.items() if value != {}}


FIELDS: frozenset[str] = frozenset(each.name for each in fields(ModelConfig))
"""The names of all hyper-parameters."""
