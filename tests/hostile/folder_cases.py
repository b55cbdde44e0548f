"""What can be wrong with a Hugging Face model folder around its weights."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.hostile import folder_texts, model_folder, safetensors_file, tiny
from tests.hostile.case import Case, Expected, broken, legal, odd, unsound
from tests.hostile.model_folder import INDEX, SHARDS, WEIGHTS, ModelFolder

SINGLE: Final = model_folder.valid()
SHARDED: Final = model_folder.sharded()
MARKER: Final = "executed"
"""The file that the code in a hostile folder would make if it were run."""

NORM: Final = "model.norm.weight"
FIRST: Final = "model.embed_tokens.weight"


def _mapped(**changes: Any) -> ModelFolder:
    """Return the sharded folder with some tensors mapped to something else."""
    table = {name.replace("__", "."): value for name, value in changes.items()}
    return SHARDED.with_keys(INDEX, weight_map={**model_folder.weight_map(), **table})


def _all_in(shard: str) -> ModelFolder:
    """Return a folder whose index maps every tensor to one name."""
    weight_map = dict.fromkeys(tiny.SHAPES, shard)
    return SHARDED.with_keys(INDEX, weight_map=weight_map)


def _beside(folder: Path) -> None:
    """Put a valid file with the whole model in a folder beside the model's."""
    other = folder.parent / "other"
    other.mkdir()
    safetensors_file.valid().write(other)


def _paths() -> Iterator[Case]:
    names = {
        "a system file": "/etc/passwd",
        "a device": "/dev/zero",
        "the folder itself": ".",
        "the folder above": "..",
        "nothing": "",
        "a name with a NUL": "model\0.safetensors",
        "a file that is missing": "model-00003-of-00003.safetensors",
        "the index": INDEX,
        "the configuration": "config.json",
        "a name of 100,000 bytes": "x" * 100_000,
        "a backslash path": "..\\other\\model.safetensors",
    }
    for name, value in names.items():
        yield broken(f"weight_map names {name}", _mapped(**{NORM: value}))
        yield broken(f"weight_map names only {name}", _all_in(value))
    climbing = _all_in("../other/model.safetensors")
    where = "../other/model.safetensors"
    yield broken("weight_map climbs to a valid file", climbing.then(_beside), where)
    inner = "x/../../other/model.safetensors"
    winding = _all_in(inner).then(_beside)
    yield broken("weight_map climbs by a detour", winding, inner)
    yield Case("weight_map has the absolute path of a valid file", _absolute)


def _absolute(folder: Path) -> Path:
    outside = folder / "outside"
    outside.mkdir()
    safetensors_file.valid().write(outside)
    return _all_in(str(outside / WEIGHTS)).write(folder)


def _replace(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink(missing_ok=True)
    make(folder / name)


def _link(path: Path, target: str) -> None:
    path.symlink_to(target)


def _link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside.safetensors"
    outside.write_bytes(model_folder.sharded().files[SHARDS[1]])
    path.symlink_to(outside)


def _link_inside(path: Path) -> None:
    real = path.parent / "real.bin"
    real.write_bytes(model_folder.sharded().files[SHARDS[1]])
    path.symlink_to(real.name)


def _nodes() -> Iterator[Case]:
    nodes: Mapping[str, Callable[[Path], None]] = {
        "a FIFO": os.mkfifo,
        "a directory": Path.mkdir,
        "a link to a device": partial(_link, target="/dev/zero"),
        "a link to a terminal": partial(_link, target="/dev/tty"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to nothing": partial(_link, target="missing"),
        "a link to the folder above": partial(_link, target=".."),
        "a link to a system file": partial(_link, target="/etc/passwd"),
    }
    for name, make in nodes.items():
        shard = partial(_replace, name=SHARDS[1], make=make)
        yield broken(f"a shard is {name}", SHARDED.then(shard), SHARDS[1])
        weights = partial(_replace, name=WEIGHTS, make=make)
        yield broken(f"the weights are {name}", SINGLE.then(weights))
        index = partial(_replace, name=INDEX, make=make)
        yield broken(f"the index is {name}", SHARDED.then(index))
        for text in ("config.json", "tokenizer.json"):
            other = partial(_replace, name=text, make=make)
            yield unsound(f"{text} is {name}", SINGLE.then(other))
    outside = partial(_replace, name=SHARDS[1], make=_link_outside)
    yield broken("a shard is a link to a valid file outside", SHARDED.then(outside))
    inside = partial(_replace, name=SHARDS[1], make=_link_inside)
    legal_link = SHARDED.then(inside)
    yield legal("a shard is a link to a file inside", legal_link, "it stays inside")


def _indexes() -> Iterator[Case]:
    texts = {
        "empty": b"",
        "not JSON": b"weight_map:",
        "a list": b"[]",
        "null": b"null",
        "not UTF-8": b'{"weight_map": {"\xff": "x"}}',
        "deep": b'{"weight_map":' + b"[" * 100_000,
        "without weight_map": b'{"metadata": {}}',
        "with a list as weight_map": b'{"weight_map": ["model.norm.weight"]}',
        "with null as weight_map": b'{"weight_map": null}',
        "with an empty weight_map": b'{"weight_map": {}}',
        "a Git-LFS pointer": folder_texts.LFS,
        "an HTML page": folder_texts.HTML,
    }
    for name, data in texts.items():
        yield broken(f"an index that is {name}", SHARDED.with_file(INDEX, data))
    values: tuple[Any, ...] = (7, None, ["model.safetensors"], {}, True)
    for value in values:
        file = _mapped(**{NORM: value})
        yield broken(f"weight_map has {value!r} for a file", file)
    yield broken("a tensor that is in no shard", _mapped(ghost=SHARDS[0]), "ghost")
    swapped = _mapped(**{NORM: SHARDS[0]})
    yield broken("a tensor that is in the other shard", swapped, NORM)
    missing = model_folder.weight_map()
    del missing[NORM]
    partial_map = SHARDED.with_keys(INDEX, weight_map=missing)
    yield broken("a tensor that the index does not name", partial_map, NORM)
    yield broken("no index beside two shards", SHARDED.without_file(INDEX))
    yield broken("a shard is missing", SHARDED.without_file(SHARDS[1]), SHARDS[1])
    names = model_folder.shard_names()
    both = safetensors_file.holding(*names[1], FIRST).tobytes()
    twice = SHARDED.with_file(SHARDS[1], both)
    yield broken("a tensor in two shards", twice, FIRST)
    yield from _totals()


def _totals() -> Iterator[Case]:
    why = "loaders do not read it, and repositories with a wrong one exist"
    totals: tuple[Any, ...] = (0, 1, -1, 2**70, 1.5, "many", None, [])
    for total in totals:
        file = SHARDED.with_keys(INDEX, metadata={"total_size": total})
        yield odd(f"total_size {total!r}", file, why)
    none = SHARDED.without_key(INDEX, "metadata")
    yield legal("an index without metadata", none, "it is optional")
    both = SHARDED.with_file(WEIGHTS, SINGLE.files[WEIGHTS])
    yield odd("one weights file and an index", both, "loaders take the one file")


def _weights() -> Iterator[Case]:
    yield broken("an empty folder", ModelFolder({}))
    texts = {name: data for name, data in SINGLE.files.items() if name != WEIGHTS}
    yield broken("a folder without weights", ModelFolder(texts))
    only = ModelFolder({WEIGHTS: SINGLE.files[WEIGHTS]})
    yield unsound("a folder of weights only", only)
    lfs = SHARDED.with_file(SHARDS[1], folder_texts.LFS)
    yield broken("a shard is a Git-LFS pointer", lfs, "LFS")
    html = SHARDED.with_file(SHARDS[1], folder_texts.HTML)
    yield broken("a shard is an HTML page", html, "HTML")
    yield broken("a shard is empty", SHARDED.with_file(SHARDS[1], b""), SHARDS[1])
    pickled = folder_texts.pickle_that_runs(MARKER)
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth"):
        yield broken(f"only a pickle {name}", ModelFolder({**texts, name: pickled}))
    mixed = SINGLE.with_file("pytorch_model.bin", pickled)
    yield legal("a pickle beside the weights", mixed, "it is never read")


def _remote_code() -> Iterator[Case]:
    code = f"open({MARKER!r}, 'w').close()\n".encode()
    auto_map = {
        "AutoConfig": "configuration_evil.EvilConfig",
        "AutoModelForCausalLM": "modeling_evil.EvilForCausalLM",
    }
    folder = SINGLE.with_keys("config.json", auto_map=auto_map)
    for name in ("configuration_evil.py", "modeling_evil.py", "tokenization_evil.py"):
        folder = folder.with_file(name, code)
    tokenizers = {"AutoTokenizer": ["tokenization_evil.Evil", None]}
    folder = folder.with_keys("tokenizer_config.json", auto_map=tokenizers)
    yield odd("remote code", folder, "the class is known; the code never runs")
    evil = folder.with_keys("config.json", architectures=["EvilForCausalLM"])
    either, refused = Expected.EITHER, Expected.REFUSED
    unknown = evil.with_keys("config.json", model_type="evil")
    yield Case("remote code of an unknown class", unknown.write, either, refused)


CASES: Final = [
    *_paths(),
    *_nodes(),
    *_indexes(),
    *_weights(),
    *_remote_code(),
    *folder_texts.cases(),
]
