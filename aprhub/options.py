"""What a user may ask of a conversion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen
from attrs.converters import optional

from aprhub.encodings import LowerOptions
from aprhub.errors import (
    UsageError,
    near_miss,
)
from aprhub.lift import LiftOptions
from aprhub.lineage import file_fingerprint
from aprhub.quantization import Quantization

DTYPES = ("f32", "f16", "bf16")
LEVELS = ("names", "values", "bytes", "logits")
"""How closely an output can be compared with its source."""
JUDGES = ("llama.cpp", "transformers")
"""The programs that can be asked what a model computes."""

UNTOLD = ("dry_run", "force", "verify", "workers", "resume", "apart")
"""Options that change no byte of the output, so that its lineage is without them."""


@frozen
class ConvertOptions:
    """What a user may ask of a conversion.

    `source_format` and `target_format` override detection; `naming` is a naming's
    name or `keep`; `family` overrides what the source claims. `dtype` casts floats to
    `f32`, `f16` or `bf16`; None keeps every encoding. `quantize` is a mixture, such as
    `q4_k_m`; `tensor_types` are `PATTERN=ENCODING` for tensors that get another one,
    `pure` gives all matrices the mixture's main one, `no_requantize` refuses to decode
    for it what is quantised already, `imatrix` is a file with an importance matrix for
    it, and `allow_nan` quantises infinite values and no numbers as ggml does, where
    they are refused else. `shard_size` is in bytes.
    `lossy` drops what the target cannot hold, `force` replaces an existing output, and
    `allow_unrunnable` writes a model that the target's programs would refuse, and
    `allow_damaged` what a source holds whose own checksum is wrong.
    `verify` is `names`, `values`, `bytes` or `logits`: the level at which the output is
    compared with the source after writing. With `resume`, an interruption leaves what
    was written in a hidden folder beside the target, and the same conversion goes on
    from there. With `hash_inputs`, the lineage has the hash of each input, for which
    all of them are read, instead of a fingerprint of its table. With `apart`, a process
    of this interpreter, `sys.executable`, copies what is not changed, if that is much:
    it does not wait for the Python of this one.
    """

    source_format: str | None = None
    target_format: str | None = None
    naming: str | None = None
    family: str | None = None
    dtype: str | None = None
    quantize: str | None = None
    tensor_types: tuple[str, ...] = ()
    pure: bool = False
    no_requantize: bool = False
    allow_nan: bool = False
    imatrix: Path | None = field(default=None, converter=optional(Path))
    shard_size: int | None = None
    dry_run: bool = False
    lossy: bool = False
    force: bool = False
    allow_unrunnable: bool = False
    allow_damaged: bool = False
    verify: str | None = None
    workers: int = 0
    resume: bool = False
    hash_inputs: bool = False
    apart: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse values that are none of the allowed ones."""
        _require("dtype", self.dtype, DTYPES)
        _require("verify", self.verify, LEVELS)
        if self.shard_size is not None and self.shard_size <= 0:
            raise UsageError(
                f"shard_size is {self.shard_size}; give a positive number of bytes"
            )
        if self.resume and self.dry_run:
            raise UsageError(
                "a dry run writes nothing that could be resumed; leave dry_run or"
                " resume out"
            )
        if self.quantize and self.dtype:
            raise UsageError(
                f"a model is either cast (dtype {self.dtype}) or quantised (quantize"
                f" {self.quantize}); leave one out"
            )
        extras = self.tensor_types or self.pure or self.imatrix or self.allow_nan
        if self.quantize is None and extras:
            raise UsageError(
                "--tensor-type, --pure, --imatrix and --allow-nan belong to a mixture;"
                " name one with --quantize"
            )
        _ = self.lower  # raises UsageError for a mixture or an encoding nobody knows

    @property
    def copiers(self) -> int | None:
        """The threads of a process that copies, 0 for the usual; None for no process.

        What changes its encoding is not copied; what is to be resumed has its journal
        in this process.
        """
        computed = self.dtype is not None or self.quantize is not None
        unwanted = computed or self.resume or self.dry_run or not self.apart
        return None if unwanted else self.workers

    @property
    def lift(self) -> LiftOptions:
        """The part that concerns the source."""
        return LiftOptions(self.naming, self.family, self.lossy)

    @property
    def lower(self) -> LowerOptions:
        """The part that concerns the target's encodings."""
        quantization = None
        if self.quantize is not None:
            quantization = Quantization.of(
                self.quantize,
                self.tensor_types,
                pure=self.pure,
                again=not self.no_requantize,
                weighed=self.imatrix is not None,
            )
        return LowerOptions(self.dtype, quantization, self.lossy, self.allow_nan)

    @property
    def told(self) -> dict[str, Any]:
        """The part that the output's lineage tells of; a file by its SHA-256."""
        told = asdict(self, filter=lambda field, _value: field.name not in UNTOLD)
        if self.imatrix is not None:
            told["imatrix"] = file_fingerprint(self.imatrix)
        return told


@frozen
class VerifyOptions:
    """How closely two models are compared, and how they are read for that.

    `level` is one of LEVELS, `against` has some of JUDGES, asked for logits.
    `naming` and `family` are those of both models. `dtype` is the float that the
    target was to be cast to, and `imatrix` the importance matrix that it was quantised
    with.
    """

    level: str = "values"
    against: tuple[str, ...] = ()
    naming: str | None = None
    family: str | None = None
    dtype: str | None = None
    imatrix: Path | None = field(default=None, converter=optional(Path))

    def __attrs_post_init__(self) -> None:
        """Refuse values that are none of the allowed ones."""
        _require("level", self.level, LEVELS)
        _require("dtype", self.dtype, DTYPES)
        for judge in self.against:
            _require("against", judge, JUDGES)


@frozen
class RunOptions:
    """How models are read to be run, and how a text is cut up for them.

    `source_format`, `naming` and `family` are those of every model at hand. A text is
    cut into chunks of `seq_len` tokens; `chunks` is how many of them are used, None
    for all. `batch_size` chunks are run at once. `force` replaces an existing output.
    """

    source_format: str | None = None
    naming: str | None = None
    family: str | None = None
    chunks: int | None = None
    seq_len: int = 512
    batch_size: int = 1
    force: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse counts that are not positive."""
        for name in ("chunks", "seq_len", "batch_size"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}; give 1 or more")

    @property
    def lift(self) -> LiftOptions:
        """The part that concerns names."""
        return LiftOptions(self.naming, self.family)


def _require(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        listed = ", ".join(allowed)
        near = near_miss(value, allowed)
        raise UsageError(f"{name} is {value!r:.80}; give one of {listed}{near}")
