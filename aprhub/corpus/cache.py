"""The cache of tokenised corpora: what one is called, and who makes it."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen

from aprhub.corpus.shards import Manifest, ShardWriter, shard_writer
from aprhub.errors import EnvironmentFailureError, InputError
from aprhub.export.staging import staged
from aprhub.files import reading

_LAYOUT: Final = 1
"""The version of the files in a folder of the cache."""

_END: Final = 64 << 10


@frozen
class Recipe:
    """What shards are made of: files, and whatever else decides about their bytes.

    `dtype` is the type of an id. `fill` writes all documents.
    """

    files: Sequence[Path]
    told: Mapping[str, Any]
    dtype: str
    fill: Callable[[ShardWriter], None]

    @property
    def key(self) -> str:
        """A name that only the same files, tokenizer and options give.

        A file is the same when its suffix, size, time of modification and the bytes at
        both ends are: reading all of it would take a good part of the work's time.
        """
        files = [_identity(file) for file in self.files]
        described = {"layout": _LAYOUT, "files": files, **self.told}
        text = json.dumps(described, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def kept(recipe: Recipe, cache: Path | None) -> tuple[Path, Manifest]:
    """Return the folder of a recipe's shards, made if it is not there, and what it has.

    Another process that makes the same is waited for. What is damaged or unfinished is
    made anew. Raises InputError for files that change meanwhile, and what `fill` does.
    """
    key = recipe.key
    folder = _cache_folder(cache) / key
    manifest = Manifest.of(folder)
    if manifest is None:
        with _alone(folder):
            manifest = Manifest.of(folder) or _made(folder, recipe)
    if key != recipe.key:
        named = ", ".join(map(str, recipe.files))
        raise InputError(named, "changed while it was read; try again")
    return folder, manifest


def _made(folder: Path, recipe: Recipe) -> Manifest:
    """Write shards into a folder that is put in place when it is whole."""
    with staged(folder, is_folder=True) as staging:
        try:
            with shard_writer(staging.opened, recipe.dtype) as writer:
                recipe.fill(writer)
                manifest = writer.finish()
        except OSError as error:
            raise EnvironmentFailureError(
                f"{folder}: texts could not be tokenised into it: {error}; free space"
                " there, or name another folder with --cache"
            ) from error
        staging.publish((), ("*",))
    return manifest


def _cache_folder(chosen: Path | None) -> Path:
    """Return the folder for corpora, made where it is not there."""
    home = os.environ.get("XDG_CACHE_HOME")
    caches = Path(home) if home else Path.home() / ".cache"
    folder = chosen or caches / "aprhub" / "corpus"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailureError(
            f"{folder}: no folder can be made there: {error.strerror}; name another"
            " with --cache"
        ) from error
    return folder


def _identity(file: Path) -> list[str | int]:
    with reading(file), file.open("rb") as source:
        status = os.fstat(source.fileno())
        ends = source.read(_END)
        source.seek(max(0, status.st_size - _END))
        ends += source.read(_END)
    digest = hashlib.sha256(ends).hexdigest()
    return [file.suffix.lower(), status.st_size, status.st_mtime_ns, digest]


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Wait until no other process makes the same; one that dies is waited for no more.

    The empty lock file stays: removing it would let two in at once.
    """
    try:
        file = target.with_name(f".{target.name}.lock").open("wb")
    except OSError as error:
        raise EnvironmentFailureError(
            f"{target.parent}: cannot write there: {error.strerror}; name another with"
            " --cache"
        ) from error
    with file:
        _lock(file)
        yield


if sys.platform == "win32":

    def _lock(_file: IO[bytes]) -> None:
        pass  # no flock: both work, and the first to be done is replaced by its equal

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
