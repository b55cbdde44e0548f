"""Files cut at every boundary between two of their fields, and between those."""

from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests.hostile import apr_file, gguf_file, model_folder, safetensors_file
from tests.hostile.fields import Field, boundaries, joined
from tests.hostile.program import run

STRIDE: Final = 23


@frozen
class Base:
    """A valid file in fields; `whole` fields at its end may be missing."""

    name: str
    fields: list[Field]
    whole: tuple[str, ...] = ()

    def cuts(self) -> list[tuple[int, str]]:
        """Return where to cut, and what starts there."""
        found = boundaries(self.fields)
        head = next(at for at, label in found if label == "data")
        inside = [(at, f"byte {at}") for at in range(1, head, STRIDE)]
        fields = [(at, label) for at, label in found if label not in self.whole]
        return sorted({*fields, *inside})


BASES: Final = [
    Base("model.gguf", gguf_file.valid().fields(), ("tail",)),
    Base("model.apr", apr_file.valid().fields(), ("footer",)),
    Base("model.safetensors", safetensors_file.valid().fields(), ("tail",)),
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_a_file_cut_anywhere_is_refused_by_name(workplace: Path, base: Base) -> None:
    whole, path = joined(base.fields), workplace / base.name

    outcomes = []
    for at, label in base.cuts():
        path.write_bytes(whole[:at])
        outcomes.append((at, label, run("inspect", path)))

    assert len(outcomes) > 50
    assert [
        (at, label, outcome.code, outcome.escaped, outcome.stderr)
        for at, label, outcome in outcomes
        if outcome.code != 3 or path.name not in outcome.stderr
    ] == []


def test_a_cut_gguf_leaves_nothing_behind_when_it_is_converted(
    workplace: Path,
) -> None:
    whole, path = joined(BASES[0].fields), workplace / "model.gguf"
    target = workplace / "target"
    target.mkdir()

    codes = set()
    for at, _label in BASES[0].cuts()[::8]:
        path.write_bytes(whole[:at])
        codes.add(run("convert", path, target / "out.apr").code)

    assert codes == {3}
    assert list(target.iterdir()) == []


def test_texts_of_a_folder_cut_anywhere_are_answered_in_order(workplace: Path) -> None:
    folder = model_folder.sharded().write(workplace)
    text = folder / model_folder.INDEX
    whole = text.read_bytes()

    codes = set()
    for at in range(0, len(whole), STRIDE):
        text.write_bytes(whole[:at])
        codes.add(run("inspect", folder).code)

    assert codes == {3}
