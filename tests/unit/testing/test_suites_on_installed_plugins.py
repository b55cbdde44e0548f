"""The conformance suites, run on everything that is installed."""

import pytest

from aprhub.api import AdapterLayout, Codec, Family, Naming
from aprhub.registry import Registry
from aprhub.testing.adapters import AdapterLayoutConformance
from aprhub.testing.codecs import CodecConformance, EncoderConformance
from aprhub.testing.families import FamilyConformance
from aprhub.testing.namings import NamingConformance

INSTALLED = Registry.load()

FAMILIES = [each.value for each in INSTALLED.families]
NAMINGS = [each.value for each in INSTALLED.namings if each.value.name != "entrenar"]
"""All but what names the matrices of an adapter only."""
LAYOUTS = [each.value for each in INSTALLED.adapter_layouts]
CODECS = [each.value for each in INSTALLED.codecs]
ENCODERS = [codec for codec in CODECS if codec.encode]
PATIENT = ("iq1_s", "iq1_m", "iq2_xs", "iq2_s")
"""Encodings whose tables ggml takes seconds to make, once in each process."""


def _names(
    values: list[Family] | list[Naming] | list[Codec] | list[AdapterLayout],
) -> list[str]:
    return [value.name for value in values]


@pytest.mark.parametrize("family", FAMILIES, ids=_names(FAMILIES))
class TestFamilies(FamilyConformance):
    """Every family."""


@pytest.mark.parametrize("naming", NAMINGS, ids=_names(NAMINGS))
class TestNamings(NamingConformance):
    """Every naming."""


@pytest.mark.parametrize("codec", CODECS, ids=_names(CODECS))
class TestCodecs(CodecConformance):
    """Every codec."""


@pytest.mark.parametrize(
    "codec",
    [
        pytest.param(codec, marks=[pytest.mark.slow] * (codec.name in PATIENT))
        for codec in ENCODERS
    ],
    ids=_names(ENCODERS),
)
class TestEncoders(EncoderConformance):
    """Every codec that encodes."""


@pytest.mark.parametrize("layout", LAYOUTS, ids=_names(LAYOUTS))
class TestAdapterLayouts(AdapterLayoutConformance):
    """Every layout of adapters."""
