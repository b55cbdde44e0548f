"""Which format a file is in: bytes beat names, and nothing is guessed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aprhub.api import (
    FileEvidence,
    Format,
    Layout,
    LayoutOptions,
    Magic,
    MissingFileError,
    StoredModel,
)
from aprhub.detect import identify, target_format
from aprhub.errors import (
    AmbiguousFormatError,
    UnknownFormatError,
    UnknownNameError,
    UsageError,
)
from tests.unit import toys


def _nothing(_stored: StoredModel, _path: Path, _options: LayoutOptions) -> Layout:
    return Layout(())


def _toy(name: str, **more: Any) -> Format:
    return Format(name, name.title(), (f".{name}",), lay_out=_nothing, **more)


def _begins(text: bytes) -> Callable[[FileEvidence], bool]:
    return lambda evidence: evidence.head.startswith(text)


MAGIC = _toy("magic", magic=(Magic(b"MAGI"), Magic(b"CAL", offset=6)))
STRUCTURED = _toy("structured", has_structure=_begins(b"M"))
NAMED = _toy("named")
FOLDERS = _toy("folders", writes_folder=True)
ONLY_READ = Format("reader", "Reader", (".reader",))
REGISTRY = toys.registry(MAGIC, STRUCTURED, NAMED, FOLDERS, ONLY_READ)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def make(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.named", b"MAGI....", MAGIC),
        ("a.named", b"......CAL", MAGIC),
        ("a.named", b"M", STRUCTURED),
        ("a.named", b"", NAMED),
        ("a.NAMED", b"?", NAMED),
        ("a.magic", b"M", STRUCTURED),
    ],
)
def test_bytes_beat_the_extension(
    file: Callable[[str, bytes], Path], name: str, data: bytes, found: Format
) -> None:
    assert identify(file(name, data), REGISTRY) is found


def test_a_format_that_is_asked_for_is_taken_whatever_the_bytes(
    file: Callable[[str, bytes], Path],
) -> None:
    path = file("a.named", b"MAGI")

    assert identify(path, REGISTRY, "structured") is STRUCTURED
    assert identify(path, REGISTRY, "toys:named") is NAMED


def test_an_unknown_file_is_described_beside_the_known_formats(
    file: Callable[[str, bytes], Path],
) -> None:
    with pytest.raises(UnknownFormatError) as failure:
        identify(file("a.bin", b"?!" * 50), REGISTRY)

    assert "folders, magic, named, reader, structured" in str(failure.value)
    assert "100 bytes that begin with b'?!?!?!?!'" in str(failure.value)


def test_an_unknown_folder_is_described_by_what_it_holds(tmp_path: Path) -> None:
    for name in "edcba":
        (tmp_path / name).touch()
    with pytest.raises(UnknownFormatError, match="a folder that holds a, b, c, d, e"):
        identify(tmp_path, REGISTRY)


def test_two_formats_that_are_equally_sure_are_an_error_with_the_remedy(
    file: Callable[[str, bytes], Path],
) -> None:
    rival = _toy("rival", magic=(Magic(b"MAGI"),))

    with pytest.raises(AmbiguousFormatError) as failure:
        identify(file("a", b"MAGI"), toys.registry(MAGIC, rival))

    assert "magic from magic (toys 1) and rival from rival (toys 1)" in str(
        failure.value
    )
    assert "--from toys:magic" in str(failure.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        identify(tmp_path / "absent.magic", REGISTRY, "magic")


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(MissingFileError, match="no regular file"):
        identify(tmp_path / "pipe", REGISTRY)


def test_a_misspelt_format_is_an_error_with_a_suggestion(
    file: Callable[[str, bytes], Path],
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'magic'"):
        identify(file("a", b""), REGISTRY, "majic")


@pytest.mark.parametrize(
    ("path", "wanted", "found"),
    [
        ("a.named", None, NAMED),
        ("a.Named", None, NAMED),
        ("a", None, FOLDERS),
        ("a", "magic", MAGIC),
        ("a.unknown", "magic", MAGIC),
        ("a.folders", None, FOLDERS),
    ],
)
def test_a_target_is_in_the_format_that_was_asked_for_or_its_name_says(
    path: str, wanted: str | None, found: Format
) -> None:
    assert target_format(Path(path), REGISTRY, wanted) is found


def test_a_folder_is_written_where_one_stands_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "v1.5").mkdir()

    assert target_format(tmp_path / "v1.5", REGISTRY) is FOLDERS


@pytest.mark.parametrize(
    ("path", "wanted", "what"),
    [
        ("a.magic", "named", r"extension \.magic belongs to magic, but named was"),
        ("a.reader", None, "reader is only read, not written; use one of"),
        ("a.what", None, r"no format has the extension '\.what' \(known: \.folders"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused_with_what_to_do(
    path: str, wanted: str | None, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        target_format(Path(path), REGISTRY, wanted)


def test_a_contested_extension_of_a_target_is_an_error_with_the_remedy() -> None:
    rival = Format("rival", "Rival", (".named",), lay_out=_nothing)

    with pytest.raises(AmbiguousFormatError, match="--to toys:named"):
        target_format(Path("a.named"), toys.registry(NAMED, rival))


def test_a_format_that_is_only_written_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named is only written, not read"):
        NAMED.opened(tmp_path)


def test_without_any_plugin_the_message_says_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"MAGIC")

    with pytest.raises(UnknownFormatError, match="no plugin that offers one is loaded"):
        identify(tmp_path / "m.bin", toys.registry())
