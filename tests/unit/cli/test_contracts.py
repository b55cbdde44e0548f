"""`aprhub contracts`, `aprhub check` and `aprhub explain`, as people type them."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.program import refused, run, succeed
from tests.unit.contracts.texts import PATTERN, bound_to, contract, tree

DANGLING = "pytest tests/test_toy.py::test_something_guessed"


@pytest.fixture
def drifted(tmp_path: Path) -> Path:
    project = tree(tmp_path)
    contract(project, bound_to(DANGLING))
    return project


def test_a_valid_contract_is_said_to_be_valid(tmp_path: Path) -> None:
    done = succeed("contracts", "validate", contract(tmp_path))

    assert done.out == "0 error(s), 0 warning(s)\nvalid\n"


def test_an_invalid_contract_is_one_for_the_shell_too(tmp_path: Path) -> None:
    file = contract(tmp_path, PATTERN.replace("version: 1.0.0", "version: ''"))

    done = run("contracts", "validate", file)

    assert done.code == 1
    first, counts, verdict = done.out.splitlines()
    assert first.startswith(f"{file}:1: error SCHEMA-002: metadata: version is missing")
    assert (counts, verdict) == ("1 error(s), 0 warning(s)", "not valid")
    assert run("contracts", "validate", file, "--json").json["valid"] is False


def _lint(project: Path, *words: object) -> tuple[int, str]:
    lint = ("contracts", "lint", project / "contracts", "--root", project)
    done = run(*lint, "--strict-test-binding", *words)
    assert done.err == ""
    return done.code, done.out


def test_lint_warns_and_strictness_fails(drifted: Path) -> None:
    code, out = _lint(drifted)
    assert code == 0
    assert out.splitlines()[1:] == [
        "1 contract(s): 0 error(s), 1 warning(s)",
        "1 falsifier(s): 1 pytest",
        "0 could not be judged",
    ]

    code, out = _lint(drifted, "--strict")
    assert code == 1
    assert ": error PV-VER-002: " in out


def test_lint_tells_programs_the_same(drifted: Path) -> None:
    found = json.loads(_lint(drifted, "--json")[1])
    assert found["counts"] == {"warning": 1}
    assert found["bindings"] == {"pytest": 1}
    (finding,) = found["findings"]

    log = json.loads(_lint(drifted, "--format", "sarif")[1])
    (result,) = log["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (log["version"], result["ruleId"]) == ("2.1.0", finding["rule"])
    assert place["artifactLocation"]["uri"] == finding["file"]
    assert place["region"]["startLine"] == finding["line"]

    (line,) = _lint(drifted, "--format", "github")[1].splitlines()
    assert line.startswith(f"::warning file={finding['file']},line={finding['line']},")
    assert line.endswith(f"::{finding['message']} ({finding['repair']})")


def test_lint_may_ask_pytest_and_git(tmp_path: Path) -> None:
    project = tree(tmp_path)
    contract(project, bound_to("tests/test_toy.py::test_of_a_size[3]"))

    assert "BIND-005" in _lint(project, "--collect")[1]
    words = ("contracts", "lint", project / "contracts", "--since", "HEAD")
    assert "--since a revision" in refused(3, *words)


def test_run_says_how_each_falsifier_ended(tmp_path: Path) -> None:
    project = tree(tmp_path)
    words = ("contracts", "run", "toy", "--root", project)
    folder = ("--dir", project / "contracts")
    contract(project)

    lines = succeed(*words, *folder).out.splitlines()
    assert lines[1].split() == ["toy", "FALSIFY-TOY-001", "1", "held"]

    contract(project, bound_to(DANGLING))
    done = run(*words, *folder, "--json")
    assert done.code == 1
    assert done.json["falsifiers"][0]["outcome"] == "missing"


def test_the_shipped_contracts_are_listed_and_counted() -> None:
    rows = succeed("contracts", "list", "--json").json["contracts"]
    assert {"name": "merge-runnable", "check": True}.items() <= next(
        row for row in rows if row["name"] == "merge-runnable"
    ).items()
    assert len(succeed("contracts", "list").out.splitlines()) == len(rows) + 1

    counted = succeed("contracts", "coverage", "--json").json["contracts"]
    assert all(row["bound"] == row["falsifiers"] > 0 for row in counted)
    assert len(succeed("contracts", "coverage").out.splitlines()) == len(rows) + 1


def test_check_says_whether_a_model_keeps_a_contract(apr: Path, gguf: Path) -> None:
    words = ("--contract", "checkpoint-packaging")

    assert succeed("check", apr, *words).out == f"{apr}: checkpoint-packaging holds\n"
    assert succeed("check", gguf, *words, "--json").json["holds"] is True


def test_check_lists_what_breaks_a_contract(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for each in folder.iterdir():
        if "token" not in each.name:
            (broken / each.name).write_bytes(each.read_bytes())

    done = run("check", broken, "--contract", "merge-runnable")

    first, fault = done.out.splitlines()
    assert done.code == 1
    assert first == f"{broken}: merge-runnable is broken 1 time(s)"
    assert "tokenizer" in fault


def test_check_refuses_by_name_what_is_about_no_file(gguf: Path) -> None:
    complaint = refused(2, "check", gguf, "--contract", "plugin-isolation")
    assert "choose one of checkpoint-packaging, " in complaint

    complaint = refused(2, "check", gguf, "--contract", "tensor-layuot")
    assert "did you mean 'tensor-layout'?" in complaint


def test_explain_shows_a_page_in_any_case() -> None:
    page = succeed("explain", "c-01").out

    assert page.startswith("# C-01\n\n")
    assert page == succeed("contracts", "explain", "C-01").out
    assert succeed("explain", "C-01", "--json").json["id"] == "C-01"


def test_explain_knows_contracts_by_their_names_and_falsifiers_by_their_contracts() -> (
    None
):
    page = succeed("explain", "tensor-layout").out
    assert page.startswith("# C-APRHUB-TENSOR-LAYOUT\n")

    page = succeed("explain", "FALSIFY-APRHUB-ROUNDTRIP-002").out
    assert "test_the_way_through_apr_changes_no_byte" in page


def test_explain_lists_and_suggests() -> None:
    ids = succeed("explain", "--list").out.splitlines()
    assert ids == succeed("explain", "--list", "--json").json["ids"]
    assert {"C-01", "SCHEMA-001", "FALSIFY-APRHUB-STAMP-001"} <= set(ids)

    assert "did you mean 'PMAT-172'?" in refused(2, "explain", "PMAT-173")
    assert run("explain").code == run("explain", "C-01", "--list").code == 2
