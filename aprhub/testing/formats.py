"""FormatConformance: what the hub relies on in every file format."""

import tracemalloc
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from attrs import evolve

from aprhub.api import (
    AprhubError,
    Confidence,
    FileEvidence,
    Format,
    UnrepresentableError,
)
from aprhub.front import open_model
from aprhub.health.diagnosis import Doctoring, diagnosed
from aprhub.registry import Provided, Registry
from aprhub.testing.comparison import differences
from aprhub.testing.damage import cut, damaged, extents, is_refused
from aprhub.testing.files import contents, copied
from aprhub.testing.models import PICOS
from aprhub.testing.saving import Saver, interrupting, suffix_of
from aprhub.testing.stamps import StampChecks

NOISE = bytes((index * 167 + 13) % 256 for index in range(4096))
OTHERS: Mapping[str, bytes] = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(4096),
    "noise": NOISE,
    "text": b"# a text, and no model\n" * 50,
}
"""Contents that belong to no format of models."""


@cache
def _installed() -> Registry:
    return Registry.load()


@pytest.mark.conformance
class FormatConformance(StampChecks):
    """Subclass it, give `format` and `sample`, and inherit the checks.

    What a format cannot do by its own declaration (`open` or `lay_out` is None) is
    skipped. `splits` is False in the suite of a format that is always one file.
    """

    splits: ClassVar[bool] = True

    @pytest.fixture
    def format(self) -> Format:
        """Return the format under test."""
        pytest.fail("give a fixture 'format' that returns your Format")

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        """Make a file or folder of the format by hand, not by its own writer."""
        pytest.fail("give a fixture 'sample' that returns a path")

    @pytest.fixture
    def registry(self, format: Format) -> Registry:
        """Return the installed plugins, with the format in place of its namesakes."""
        found = _installed()
        others = (each for each in found.formats if each.value.name != format.name)
        mine = Provided(format, "the format under test", "under-test")
        return evolve(found, formats=(*others, mine))

    @pytest.fixture
    def saver(self, format: Format, registry: Registry) -> Saver:
        """Return what writes a model in the format."""
        if format.lay_out is None:
            pytest.skip(f"{format.name} is only read")
        return Saver(format, registry)

    @pytest.fixture
    def both_ways(self, format: Format, saver: Saver) -> Saver:
        """Return what writes a model in the format, which reads it, too."""
        if format.open is None:
            pytest.skip(f"{format.name} is only written")
        return saver

    def test_its_name_is_one_word_in_lower_case(self, format: Format) -> None:
        """So that it can be typed after `--to`."""
        assert format.name.isidentifier()
        assert format.name == format.name.lower()
        assert format.title

    def test_its_extensions_are_in_lower_case_behind_a_dot(
        self, format: Format
    ) -> None:
        """Since they are compared with lower-cased suffixes."""
        assert all(each.startswith(".") for each in format.extensions)
        assert format.extensions == tuple(map(str.lower, format.extensions))

    def test_its_own_file_is_recognised_under_any_name(
        self, format: Format, sample: Path, tmp_path: Path
    ) -> None:
        """Bytes beat names."""
        other = copied(sample, tmp_path / "renamed" / "of-no-known.extension")

        assert format.confidence(FileEvidence.of(other)) > Confidence.EXTENSION

    @pytest.mark.parametrize("what", sorted(OTHERS))
    def test_it_shrugs_at_what_is_no_model(
        self, format: Format, tmp_path: Path, what: str
    ) -> None:
        """Whatever its name: an extension alone is a weak sign."""
        path = tmp_path / "model.bin"
        path.write_bytes(OTHERS[what])
        named = evolve(FileEvidence.of(path), path=path.with_suffix(suffix_of(format)))

        assert format.confidence(FileEvidence.of(path)) is Confidence.NONE
        assert format.confidence(named) <= Confidence.EXTENSION

    @pytest.mark.parametrize("what", sorted(OTHERS))
    def test_it_refuses_to_open_what_is_no_model(
        self, format: Format, tmp_path: Path, what: str
    ) -> None:
        """With a typed error, since a user may insist with `--from`."""
        if format.open is None:
            pytest.skip(f"{format.name} is only written")
        path = tmp_path / f"model{suffix_of(format)}"
        path.write_bytes(OTHERS[what])

        with pytest.raises(AprhubError):
            format.open(path)

    @pytest.mark.parametrize("pico", sorted(PICOS))
    def test_what_is_written_reads_back_the_same(
        self, both_ways: Saver, tmp_path: Path, pico: str
    ) -> None:
        """Names, values, configuration, tokenizer, provenance, carried keys."""
        model = both_ways.pico(pico)

        path = both_ways.save(model, tmp_path)

        assert differences(model, open_model(path, registry=both_ways.registry)) == []

    def test_a_size_of_shards_is_honoured_or_refused(
        self, both_ways: Saver, tmp_path: Path
    ) -> None:
        """Shards are opened by their folder, or by the file that is placed last."""
        model = both_ways.pico("llama-tied")
        if not self.splits:
            with pytest.raises(UnrepresentableError):
                both_ways.report(model, tmp_path, shard_size=40_000)
            return

        report = both_ways.report(model, tmp_path, shard_size=40_000)

        assert len(report.files) > 1
        target = both_ways.target(tmp_path)
        path = target if target.is_dir() else Path(report.files[-1].path)
        assert differences(model, open_model(path, registry=both_ways.registry)) == []

    def test_writing_leaves_the_model_unchanged(
        self, saver: Saver, tmp_path: Path
    ) -> None:
        """A model is a value."""
        model, same = saver.pico("llama"), saver.pico("llama")

        saver.save(model, tmp_path)

        assert differences(same, model) == []
        assert list(model.tensors) == list(same.tensors)

    def test_writing_twice_gives_the_same_bytes(
        self, saver: Saver, tmp_path: Path
    ) -> None:
        """No dates, no random order."""
        one = saver.save(saver.pico("llama"), tmp_path / "one")
        other = saver.save(saver.pico("llama"), tmp_path / "other")

        assert contents(one) == contents(other)

    def test_a_dry_run_tells_the_exact_sizes(
        self, saver: Saver, tmp_path: Path
    ) -> None:
        """And writes nothing."""
        model = saver.pico("llama-tied")
        told = saver.report(model, tmp_path, dry_run=True)
        assert list(tmp_path.iterdir()) == []

        saver.save(model, tmp_path)

        sizes = {each.path: Path(each.path).stat().st_size for each in told.files}
        assert {each.path: each.nbytes for each in told.files} == sizes

    def test_a_file_cut_anywhere_is_refused_with_a_typed_error(
        self, format: Format, both_ways: Saver, tmp_path: Path
    ) -> None:
        """An InputError: never a struct.error, a KeyError or a shorter model."""
        path = both_ways.save(both_ways.pico("llama-tied"), tmp_path)

        sizes = [
            f"{file.name} cut to {size} bytes"
            for file, extent in extents(format.opened(path)).items()
            for size, data in cut(file.read_bytes(), extent.stop)
            if not is_refused(format, path, file, data)
        ]

        assert sizes == []

    def test_a_damaged_file_raises_nothing_but_typed_errors(
        self, format: Format, both_ways: Saver, tmp_path: Path
    ) -> None:
        """Where the damage is none to the format, a model is opened."""
        path = both_ways.save(both_ways.pico("llama-tied"), tmp_path)

        for file, extent in extents(format.opened(path)).items():
            for data in damaged(file.read_bytes(), extent):
                is_refused(format, path, file, data)

        assert format.opened(path).tensors

    def test_what_is_written_is_healthy_by_its_own_examination(
        self, format: Format, both_ways: Saver, tmp_path: Path
    ) -> None:
        """Where it has none, by that of the hub."""
        path = both_ways.save(both_ways.pico("llama-tied"), tmp_path)

        found = diagnosed(path, both_ways.registry, Doctoring())

        assert list(found.findings) == []

    def test_an_interrupted_write_leaves_what_was_there(
        self, saver: Saver, tmp_path: Path
    ) -> None:
        """Neither a new file nor a changed old one."""
        model = saver.pico("llama")
        saver.save(model, tmp_path)
        before = contents(tmp_path)

        with pytest.raises(KeyboardInterrupt):
            saver.save(interrupting(model), tmp_path, force=True)

        assert contents(tmp_path) == before

    def test_opening_reads_no_tensor(
        self, format: Format, both_ways: Saver, tmp_path: Path
    ) -> None:
        """The memory that opening takes does not grow with the weights."""
        model = both_ways.pico("llama-tied", intermediate_size=1 << 14)
        path = both_ways.save(model, tmp_path)

        tracemalloc.start()
        stored = format.opened(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert len(stored.tensors) >= len(model.tensors)
        assert peak < model.nbytes // 4
