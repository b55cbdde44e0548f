"""Who may import whom, and what only some modules may do: read from the sources."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HUB = sorted((ROOT / "aprhub").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

DECODER = ROOT / "aprhub" / "decoder"
TRAINING = ROOT / "aprhub" / "training"
RUNNERS = {
    "aprhub/acceptance/gates.py",
    "aprhub/generating.py",
    "aprhub/running.py",
    "aprhub/pretraining/run.py",
    "aprhub/pretraining/setting.py",
    "aprhub/pretraining/states.py",
}
"""What runs models, and is imported when one is to be run."""

PUBLIC = ("aprhub.api", "aprhub.testing")
OPTIONAL = {"huggingface_hub", "peft", "torch", "transformers", "xllamacpp"}

_VALUES = "errors ir spec"

LAYERS = {
    "version": "",
    "deferred": "",
    "errors": "",
    "files": "errors",
    "yaml_document": "errors",
    "explanations": "errors",
    "ir": "errors files",
    "equality": "ir",
    "pairs": "ir",
    "statistics": "ir",
    "rope": "errors ir",
    "tokenizer": "deferred errors files ir",
    "spec": "errors files ir",
    "json_document": "errors spec",
    "hookspecs": "spec",
    "tokens": "errors ir tokenizer",
    "api": f"deferred files {_VALUES} hookspecs tokenizer json_document yaml_document",
    "report": "ir spec",
    "hashing": "errors ir tokenizer",
    "lineage": "ir spec version errors files hashing",
    "difference": "ir equality pairs",
    "fidelity": "errors ir equality pairs",
    "pictures": "errors fidelity",
    "registry": "errors spec hookspecs",
    "detect": "errors spec registry",
    "identity": "errors spec registry",
    "unsaid": _VALUES,
    "lift": f"{_VALUES} equality rope registry identity unsaid",
    "unpacking": "errors spec registry lift",
    "check": f"{_VALUES} lift",
    "choices": "",
    "mixtures": "choices",
    "quantization": "errors ir choices mixtures",
    "encoders": f"{_VALUES} registry",
    "encodings": f"{_VALUES} quantization registry encoders",
    "assembly": f"{_VALUES} rope lift encodings",
    "remarks": f"{_VALUES} tokenizer registry report lift",
    "lower": f"{_VALUES} tokenizer registry report lift encodings assembly remarks",
    "options": "errors lift encodings quantization lineage",
    "verify": "equality encoders",
    "judges": "errors",
    "export": f"version {_VALUES}",
    "importance": f"{_VALUES} equality registry lift export",
    "sampling": "errors",
    "decoder": f"{_VALUES} rope tokenizer sampling",
    "verification": (
        f"{_VALUES} equality pairs difference tokenizer registry detect lift"
        " options unpacking judges decoder importance"
    ),
    "conversion": (
        f"{_VALUES} registry detect lineage lift check lower export report"
        " tokenizer options unpacking importance verification"
    ),
    "health": (
        f"{_VALUES} equality tokenizer registry detect identity unsaid"
        " lineage lift check lower encodings unpacking options export report"
        " conversion"
    ),
    "licenses": "errors",
    "manifest": "ir spec hashing lineage",
    "stamping": (
        f"{_VALUES} registry detect lift check unpacking export report"
        " tokenizer licenses manifest"
    ),
    "scoring": f"{_VALUES} registry detect identity lift unpacking",
    "adapters": (
        f"{_VALUES} equality registry detect lineage lift check options"
        " export report conversion tokens encoders"
    ),
    "ancestry": "errors ir registry hashing lineage lift conversion adapters",
    "signing": "errors",
    "contracts": (
        f"version {_VALUES} yaml_document explanations difference registry"
        " lift options conversion"
    ),
    "merging": (
        f"{_VALUES} registry lineage lift check difference report tokenizer"
        " options conversion tokens adapters yaml_document"
    ),
    "corpus": "errors files ir tokenizer export",
    "course": "errors",
    "low_rank": "errors ir",
    "place": "errors",
    "training": f"{_VALUES} export corpus decoder course place low_rank",
    "running": f"{_VALUES} tokenizer registry options conversion decoder importance",
    "pretraining": (
        f"{_VALUES} registry detect identity unsaid lift unpacking check"
        " lineage export options conversion tokenizer corpus decoder course"
        " place training pictures"
    ),
    "finetuning": (
        f"{_VALUES} registry detect lineage options conversion decoder corpus"
        " adapters course place low_rank training pretraining"
    ),
    "generating": "errors tokenizer registry options decoder running sampling",
    "acceptance": (
        "errors tokenizer registry detect options conversion decoder"
        " sampling generating"
    ),
    "front": (
        "errors ir registry detect lift options conversion difference"
        " fidelity report unpacking adapters merging stamping scoring"
        " verification"
    ),
    "runs": (
        "ir registry options decoder running sampling generating pretraining"
        " finetuning front"
    ),
    "aprhub": (
        "version deferred errors ir registry report options conversion"
        " front runs adapters sampling course low_rank pretraining finetuning"
        " stamping"
    ),
    "testing": (
        f"api {_VALUES} registry lift check report options conversion front"
        " adapters merging stamping health"
    ),
    "cli": (
        f"version {_VALUES} statistics report difference fidelity pictures"
        " runs registry detect identity lift options conversion front"
        " unpacking decoder adapters merging sampling generating acceptance"
        " corpus course place low_rank pretraining finetuning stamping scoring"
        " health verification contracts explanations hashing ancestry manifest"
        " signing"
    ),
    "__main__": "cli",
}
"""What each part of the hub may import besides itself; all of it stands above it."""

BROAD = {
    "aprhub/cli/__init__.py": "a defect becomes one line for the user",
    "aprhub/registry.py": "a broken plugin costs only itself",
    "aprhub/tokenizer/parity.py": "the tokenizers library raises nothing narrower",
}
"""The modules that may catch every exception, and why."""


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from imported(node)


def imported(node: ast.ImportFrom) -> Iterator[str]:
    module = "." * node.level + (node.module or "")
    if module == "aprhub":
        yield from (f"aprhub.{alias.name}" for alias in node.names)
    else:
        yield module


def distribution(name: str) -> str:
    return name.split(".")[0]


def part_of_hub(module: str) -> str:
    """Return the part that a dotted name of the hub belongs to, as in LAYERS."""
    return f"{module}.".split(".")[1] or "aprhub"


def part_of(file: Path) -> str:
    name = Path(file.relative_to(ROOT / "aprhub").parts[0]).stem
    return "aprhub" if name == "__init__" else name


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def every(files: list[Path]) -> Callable[[Callable[[Path], None]], object]:
    """Check each of the files; those of a folder are one test."""

    def checked(check: Callable[[Path], None]) -> object:
        @pytest.mark.parametrize(
            "folder", sorted({f.parent for f in files}), ids=relative
        )
        def test(folder: Path) -> None:
            for file in files:
                if file.parent == folder:
                    check(file)

        return test

    return checked


@every(PLUGINS)
def test_a_plugin_uses_only_the_public_api(file: Path) -> None:
    used = {name for name in imports(file) if distribution(name) == "aprhub"}

    assert {name for name in used if not name.startswith(PUBLIC)} == set()


@every(PLUGINS)
def test_a_plugin_knows_no_other_plugin(file: Path) -> None:
    own = file.relative_to(ROOT / "plugins").parts[0]
    used = {distribution(name) for name in imports(file)}

    assert {name for name in used if name.startswith("aprhub_")} <= {own}


@every(HUB)
def test_the_hub_knows_no_plugin(file: Path) -> None:
    assert [name for name in imports(file) if name.startswith("aprhub_")] == []


@every([*HUB, *PLUGINS, *TESTS])
def test_nothing_is_imported_by_its_folder_or_relatively(file: Path) -> None:
    used = imports(file)

    assert [each for each in used if distribution(each) in ("plugins", "")] == []


@every([*HUB, *PLUGINS])
def test_the_product_imports_neither_its_tests_nor_a_heavy_library(file: Path) -> None:
    used = {distribution(name) for name in imports(file)}
    allowed = {"torch"} if file.parent in (DECODER, TRAINING) else set()

    assert used & {*OPTIONAL, "tests"} <= allowed


def imports_at_once(file: Path) -> Iterator[str]:
    """Yield what is imported with a module, not when a function or a checker asks."""
    for node in parsed(file).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from imported(node)


@every([f for f in [*HUB, *PLUGINS] if f.parent not in (DECODER, TRAINING)])
def test_only_what_runs_models_imports_the_decoder_at_once(file: Path) -> None:
    ours = (each for each in imports_at_once(file) if each.startswith("aprhub"))
    used = set(map(part_of_hub, ours))

    heavy = {"decoder", "running", "training", "generating", "acceptance"}
    assert not used & heavy or relative(file) in RUNNERS


def test_every_training_runs_in_one_place() -> None:
    outside = (file for file in HUB if file.parent != TRAINING)
    users = [file for file in outside if "aprhub.training.loop" in imports(file)]

    assert list(map(relative, users)) == ["aprhub/pretraining/run.py"]


@every(HUB)
def test_a_part_of_the_hub_imports_only_parts_below_it(file: Path) -> None:
    part = part_of(file)
    used = {part_of_hub(each) for each in imports(file) if each.startswith("aprhub")}

    assert used <= {part, *LAYERS[part].split()}


def test_the_layers_have_no_cycle() -> None:
    order = list(LAYERS)
    back = [
        (part, below)
        for part, allowed in LAYERS.items()
        for below in allowed.split()
        if order.index(below) >= order.index(part)
    ]

    assert back == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    undone = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(caught & {"Exception", "BaseException"}) and not undone


@every([*HUB, *PLUGINS])
def test_only_three_places_catch_everything(file: Path) -> None:
    handlers = [n for n in ast.walk(parsed(file)) if isinstance(n, ast.ExceptHandler)]

    assert any(map(_is_broad, handlers)) == (relative(file) in BROAD)


ENDINGS = {"exit", "quit", "print", "sys.exit", "os._exit", "os.abort"}


def _called(node: ast.AST) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


PROGRAM = "aprhub/__main__.py"


@every(
    [
        file
        for file in [*HUB, *PLUGINS]
        if "cli" not in file.parts and relative(file) != PROGRAM
    ]
)
def test_only_the_command_line_prints_and_exits(file: Path) -> None:
    assert [c for c in map(_called, ast.walk(parsed(file))) if c in ENDINGS] == []


CHECKED = [file for file in [*HUB, *PLUGINS] if "testing" not in file.parts]


@every(CHECKED)
def test_no_check_vanishes_under_optimisation(file: Path) -> None:
    found = [each for each in ast.walk(parsed(file)) if isinstance(each, ast.Assert)]

    assert found == []


@every([*HUB, *PLUGINS])
def test_no_module_is_longer_than_three_hundred_lines(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= 300


@every([*HUB, *PLUGINS])
def test_no_function_is_longer_than_thirty_lines(file: Path) -> None:
    assert [
        node.name
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef) and _code_lines(node) > 30
    ] == []


def _code_lines(function: ast.FunctionDef) -> int:
    """Return the lines of a body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_plugins_and_the_hub_say_that_they_are_typed() -> None:
    folders = [ROOT / "aprhub", *(ROOT / "plugins").glob("aprhub_*")]

    assert [each.name for each in folders if not (each / "py.typed").exists()] == []
