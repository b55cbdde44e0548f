"""AdapterLayoutConformance: adapters that come back as they were written."""

from pathlib import Path

import numpy as np
import pytest

from aprhub import conversion
from aprhub.adapters.matching import MatchOptions, matched
from aprhub.adapters.opening import open_adapter
from aprhub.adapters.writing import AdapterWriter
from aprhub.api import Adapter, AdapterLayout, LowRank, Tensor, UnrepresentableError
from aprhub.conversion import Opened
from aprhub.errors import AprhubError
from aprhub.front import save_model
from aprhub.lift import LiftOptions
from aprhub.registry import Registry
from aprhub.testing.models import PICOS

ALPHA = 6.0
CHANGED = ("layers.0.attn.q.weight", "layers.1.attn.k.weight", "layers.1.attn.v.weight")
"""Among them weights whose rows some namings order otherwise."""


@pytest.mark.conformance
class AdapterLayoutConformance:
    """Subclass it, give `layout`, and inherit the checks.

    They are made with an installed family and format; the layout has to be installed.
    """

    @pytest.fixture
    def layout(self) -> AdapterLayout:
        """Return the layout under test."""
        pytest.fail("give a fixture 'layout' that returns your AdapterLayout")

    @pytest.fixture
    def registry(self) -> Registry:
        """Return the installed plugins."""
        return Registry.load()

    @pytest.fixture
    def base(self, registry: Registry, tmp_path: Path) -> Opened:
        """Return a model that adapters are for."""
        path = tmp_path / "base.gguf"
        save_model(PICOS["llama"].model(registry), path, registry=registry)
        return conversion.opened(path, registry, LiftOptions())

    @pytest.fixture
    def target(self, layout: AdapterLayout, registry: Registry, tmp_path: Path) -> Path:
        """Return where an adapter is written."""
        suffix = registry.format(layout.format).extensions[0]
        return tmp_path / f"adapter{'' if layout.files else suffix}"

    def test_its_name_is_one_word_in_lower_case(self, layout: AdapterLayout) -> None:
        """So that it can be typed after `--to`."""
        assert layout.name.isidentifier()
        assert layout.name == layout.name.lower()

    def test_what_is_written_is_recognised_and_reads_back_the_same(
        self, layout: AdapterLayout, base: Opened, registry: Registry, target: Path
    ) -> None:
        """To the bit: the matrices, alpha, and which weights they are for."""
        adapter = Adapter({name: _change(base, name) for name in CHANGED})
        AdapterWriter(base, layout, registry).written(adapter, target)

        found, stored = open_adapter(target, registry)
        again = matched(stored, base, registry, MatchOptions()).adapter

        assert found.name == layout.name
        assert again.changes.keys() == adapter.changes.keys()
        for name, change in adapter.changes.items():
            assert again.changes[name].alpha == ALPHA
            assert again.changes[name].a.tobytes() == change.a.tobytes()
            assert again.changes[name].b.tobytes() == change.b.tobytes()

    def test_what_it_has_no_form_for_is_refused_and_nothing_is_written(
        self, layout: AdapterLayout, base: Opened, registry: Registry, target: Path
    ) -> None:
        """Here a tensor that is replaced as a whole."""
        norm = base.found.model.tensors["norm.weight"]
        adapter = Adapter(
            {CHANGED[0]: _change(base, CHANGED[0])}, {"norm.weight": norm}
        )
        writer = AdapterWriter(base, layout, registry)
        try:
            writer.written(adapter, target)
        except UnrepresentableError:
            assert not target.exists()
        else:
            _, stored = open_adapter(target, registry)
            again = matched(stored, base, registry, MatchOptions()).adapter
            assert again.replacements["norm.weight"].tobytes() == norm.tobytes()

    def test_a_model_is_not_recognised(
        self, layout: AdapterLayout, base: Opened
    ) -> None:
        """A model is no adapter."""
        assert not layout.recognises(base.stored)

    def test_a_cut_file_raises_a_typed_error(
        self, layout: AdapterLayout, base: Opened, registry: Registry, target: Path
    ) -> None:
        """Whatever is missing, but for the end, which may be a checksum."""
        adapter = Adapter({CHANGED[0]: _change(base, CHANGED[0])})
        AdapterWriter(base, layout, registry).written(adapter, target)
        file = target / layout.files[0] if layout.files else target
        data = file.read_bytes()
        for length in range(0, len(data) * 15 // 16, len(data) // 16):
            file.write_bytes(data[:length])
            with pytest.raises(AprhubError):
                open_adapter(target, registry)


def _change(base: Opened, name: str) -> LowRank:
    random = np.random.default_rng(len(name))
    rows, columns = base.found.model.tensors[name].shape
    a = random.standard_normal((4, columns), np.float32)
    b = random.standard_normal((rows, 4), np.float32)
    return LowRank(Tensor.of(a), Tensor.of(b), ALPHA)
