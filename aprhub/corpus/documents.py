"""Documents: the texts in files of several kinds, one after the other."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from aprhub.corpus.passages import passages
from aprhub.corpus.records import records, text_of
from aprhub.corpus.tables import cells
from aprhub.errors import MissingFileError, UnsupportedFileError

RECORDS: Final = (".jsonl", ".ndjson")


def _records(file: Path, key: str) -> Iterator[str]:
    for record in records(file):
        yield text_of(record, key, "name another with --text-key")


KINDS: Final[Mapping[str, Callable[[Path, str], Iterator[str]]]] = {
    ".txt": lambda file, _key: passages(file),
    ".md": lambda file, _key: passages(file),
    **dict.fromkeys(RECORDS, _records),
    ".parquet": cells,
}
"""What reads the texts of a file, by its suffix."""


def corpus_files(
    sources: Iterable[Path], suffixes: Collection[str] = KINDS
) -> list[Path]:
    """Return the files among sources, and those of folders among them by name.

    Hidden files of a folder are no data. Raises MissingFileError for what is not there
    and a folder without files, UnsupportedFileError for a suffix that is not known.
    """
    return [file for source in sources for file in _files(source, suffixes)]


def documents(file: Path, key: str) -> Iterator[str]:
    """Yield the texts of a file; `key` is where records and tables have them."""
    return KINDS[file.suffix.lower()](file, key)


def _files(source: Path, suffixes: Collection[str]) -> Iterator[Path]:
    if not (source.is_file() or source.is_dir()):
        absent = "there is no such file or folder; name one with texts"
        raise MissingFileError(source, absent)
    found = sorted(_visible(source)) if source.is_dir() else [source]
    if not found:
        empty = "there are no files in this folder; name one with texts"
        raise MissingFileError(source, empty)
    for file in found:
        if file.suffix.lower() not in suffixes:
            known = ", ".join(suffixes)
            what = (
                f"a file with a suffix that is read here was expected ({known}); leave"
                " it out, or convert it"
            )
            raise UnsupportedFileError(file, what)
        yield file


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        names = path.relative_to(folder).parts
        if path.is_file() and not any(name.startswith(".") for name in names):
            yield path
