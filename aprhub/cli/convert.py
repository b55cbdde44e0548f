"""`aprhub convert` and `aprhub quantize`."""

from pathlib import Path
from typing import Any

import click

from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.writing import output, write

_TENSOR_TYPE = click.option(
    "--tensor-type",
    "tensor_types",
    multiple=True,
    metavar="PATTERN=TYPE",
    help="Another encoding for tensors of this name, such as 'layers.0.*=q8_0'; may be"
    " given several times, the first that fits counts.",
)
_PURE = click.option(
    "--pure",
    is_flag=True,
    help="One encoding for all matrices, instead of more bits for sensitive ones.",
)
_IMATRIX = click.option(
    "--imatrix",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An importance matrix for it, as llama-imatrix writes them (GGUF or .dat).",
)
_ALLOW_NAN = click.option(
    "--allow-nan",
    is_flag=True,
    help="Quantise infinite values and NaN as ggml's own kernels do instead of refusing"
    " them; the block around one is lost.",
)
_NO_REQUANTIZE = click.option(
    "--no-requantize",
    is_flag=True,
    help="Refuse to decode tensors for it that are quantised already.",
)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@source_options("SOURCE")
@click.option(
    "--dtype",
    type=click.Choice(["f32", "f16", "bf16"]),
    help="Store all floats so, quantised ones too; without it, encodings are kept where"
    " TARGET has them.",
)
@click.option(
    "--quantize",
    metavar="TYPE",
    help="Quantise to a mixture, such as Q4_K_M; see 'aprhub quantize --help'.",
)
@_TENSOR_TYPE
@_PURE
@_NO_REQUANTIZE
@_ALLOW_NAN
@_IMATRIX
@output
@shared
def convert(source: Path, target: Path, **options: Any) -> None:
    """Convert SOURCE, a model file or folder, into TARGET.

    The format of TARGET is that of its extension; a name without one is a Hugging
    Face folder.
    """
    write(source, target, options)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--type",
    "quantize",
    required=True,
    metavar="TYPE",
    help="The mixture: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L,"
    " Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ3_XXS, IQ3_XS, IQ3_S, IQ3_M, IQ4_NL,"
    " IQ4_XS, TQ1_0, TQ2_0 or MXFP4_MOE; with --imatrix also IQ1_S, IQ1_M, IQ2_XXS,"
    " IQ2_XS, IQ2_S, IQ2_M or Q2_K_S; for APR its own Q4 or Q8. For a folder a scheme:"
    " W4A16, W8A16, W8A8 or FP8_DYNAMIC.",
)
@_TENSOR_TYPE
@_PURE
@_NO_REQUANTIZE
@_ALLOW_NAN
@_IMATRIX
@source_options("SOURCE")
@output
@shared
def quantize(source: Path, target: Path, **options: Any) -> None:
    """Quantise SOURCE, a model file or folder, into TARGET.

    The mixtures and the bytes are those of llama.cpp's quantiser, the schemes those of
    compressed-tensors. With --dry-run, each tensor is listed with the encoding that it
    gets and its size.
    """
    write(source, target, options)
