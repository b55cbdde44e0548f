"""FormatConformance: what the hub relies on in every file format."""

import tracemalloc
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from aprhub.api import AprhubError, Confidence, FileEvidence, Format, InputError
from aprhub.conversion import ConvertOptions
from aprhub.front import open_model, save_model
from aprhub.ir.model import ModelIR
from aprhub.registry import Provided, Registry
from aprhub.report import Report
from aprhub.testing.comparison import differences
from aprhub.testing.files import Interrupting, contents, copied, cuts, extents
from aprhub.testing.models import PICOS, Pico

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
class FormatConformance:
    """Subclass it, give `format` and `sample`, and inherit the checks.

    What a format cannot do by its own declaration (`open` or `lay_out` is None) is
    skipped.
    """

    @pytest.fixture
    def format(self) -> Format:
        """Return the format under test."""
        raise NotImplementedError("give a fixture 'format' that returns your Format")

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        """Make a file or folder of the format by hand, not by its own writer."""
        raise NotImplementedError("give a fixture 'sample' that returns a path")

    @pytest.fixture
    def registry(self, format: Format) -> Registry:
        """Return the installed plugins, with the format in place of its namesakes."""
        found = _installed()
        others = (each for each in found.formats if each.value.name != format.name)
        mine = Provided(format, "the format under test", "under-test")
        return evolve(found, formats=(*others, mine))

    @pytest.fixture
    def saver(self, format: Format, registry: Registry) -> "Saver":
        """Return what writes a model in the format."""
        if format.lay_out is None:
            pytest.skip(f"{format.name} is only read")
        return Saver(format, registry)

    @pytest.fixture
    def both_ways(self, format: Format, saver: "Saver") -> "Saver":
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
        named = evolve(FileEvidence.of(path), path=path.with_suffix(_suffix(format)))

        assert format.confidence(FileEvidence.of(path)) is Confidence.NONE
        assert format.confidence(named) <= Confidence.EXTENSION

    @pytest.mark.parametrize("what", sorted(OTHERS))
    def test_it_refuses_to_open_what_is_no_model(
        self, format: Format, tmp_path: Path, what: str
    ) -> None:
        """With a typed error, since a user may insist with `--from`."""
        if format.open is None:
            pytest.skip(f"{format.name} is only written")
        path = tmp_path / f"model{_suffix(format)}"
        path.write_bytes(OTHERS[what])

        with pytest.raises(AprhubError):
            format.open(path)

    @pytest.mark.parametrize("pico", sorted(PICOS))
    def test_what_is_written_reads_back_the_same(
        self, both_ways: "Saver", tmp_path: Path, pico: str
    ) -> None:
        """Names, values, configuration, tokenizer, provenance, carried keys."""
        model = both_ways.pico(pico)

        path = both_ways.save(model, tmp_path)

        assert differences(model, open_model(path, registry=both_ways.registry)) == []

    def test_writing_leaves_the_model_unchanged(
        self, saver: "Saver", tmp_path: Path
    ) -> None:
        """A model is a value."""
        model, same = saver.pico("llama"), saver.pico("llama")

        saver.save(model, tmp_path)

        assert differences(same, model) == []
        assert list(model.tensors) == list(same.tensors)

    def test_writing_twice_gives_the_same_bytes(
        self, saver: "Saver", tmp_path: Path
    ) -> None:
        """No dates, no random order."""
        one = saver.save(saver.pico("llama"), tmp_path / "one")
        other = saver.save(saver.pico("llama"), tmp_path / "other")

        assert contents(one) == contents(other)

    def test_a_dry_run_tells_the_exact_sizes(
        self, saver: "Saver", tmp_path: Path
    ) -> None:
        """And writes nothing."""
        model = saver.pico("llama-tied")
        told = saver.report(model, tmp_path, dry_run=True)
        assert list(tmp_path.iterdir()) == []

        saver.save(model, tmp_path)

        sizes = {each.path: Path(each.path).stat().st_size for each in told.files}
        assert {each.path: each.nbytes for each in told.files} == sizes

    def test_a_file_cut_anywhere_is_refused_with_a_typed_error(
        self, format: Format, both_ways: "Saver", tmp_path: Path
    ) -> None:
        """An InputError: never a struct.error, a KeyError or a shorter model."""
        path = both_ways.save(both_ways.pico("llama-tied"), tmp_path)
        accepted = []

        for file, end in extents(format.opened(path)).items():
            whole = file.read_bytes()
            for size in cuts(end):
                file.write_bytes(whole[:size])
                accepted += _refused(format, path, size)
            file.write_bytes(whole)

        assert accepted == []

    def test_an_interrupted_write_leaves_what_was_there(
        self, saver: "Saver", tmp_path: Path
    ) -> None:
        """Neither a new file nor a changed old one."""
        model = saver.pico("llama")
        saver.save(model, tmp_path)
        before = contents(tmp_path)

        with pytest.raises(KeyboardInterrupt):
            saver.save(_interrupting(model), tmp_path, force=True)

        assert contents(tmp_path) == before

    def test_opening_reads_no_tensor(
        self, format: Format, both_ways: "Saver", tmp_path: Path
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


class Saver:
    """Writes models in one format, by the hub's own road."""

    def __init__(self, format: Format, registry: Registry) -> None:
        self.format = format
        self.registry = registry

    def pico(self, name: str, **chosen: Any) -> ModelIR:
        """Return a pico model, whose quantised tensors can be decoded."""
        from aprhub.lift import decodable

        model = PICOS[name].model(self.registry, **chosen)
        return evolve(model, tensors=decodable(model.tensors, self.registry))

    def target(self, folder: Path) -> Path:
        """Return where a model is written in a folder."""
        suffix = "" if self.format.writes_folder else _suffix(self.format)
        return folder / f"model{suffix}"

    def report(self, model: ModelIR, folder: Path, **options: Any) -> Report:
        """Write a model into a folder and return the report."""
        folder.mkdir(exist_ok=True)
        chosen = ConvertOptions(target_format=self.format.name, **options)
        target = self.target(folder)
        return save_model(model, target, chosen, registry=self.registry)

    def save(self, model: ModelIR, folder: Path, **options: Any) -> Path:
        """Write a model into a folder and return its path."""
        self.report(model, folder, **options)
        return self.target(folder)


def _suffix(format: Format) -> str:
    return format.extensions[0] if format.extensions else ""


def _refused(format: Format, path: Path, size: int) -> list[int]:
    """Return nothing when opening raises an InputError, else the size accepted."""
    try:
        format.opened(path)
    except InputError:
        return []
    return [size]


def _interrupting(model: ModelIR) -> ModelIR:
    name, tensor = list(model.tensors.items())[-2]
    broken = evolve(tensor, source=Interrupting(tensor.nbytes))
    return evolve(model, tensors={**model.tensors, name: broken})
