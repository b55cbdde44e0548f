"""Planted drift, weak tests and stray ids are found, exactly, and nothing else is."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from aprhub.contracts.linting import Lint, LintOptions, lint
from aprhub.errors import CorruptFileError, EnvironmentFailureError, MissingFileError
from tests.unit.contracts.texts import PATTERN, bound_to, contract, tree

FILE = "tests/test_toy.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tree(tmp_path)


def _lint(project: Path, **options: Any) -> Lint:
    asked = LintOptions(project, **{"binding": True, **options})
    return lint(project / "contracts", asked)


SOUND = [
    f"pytest {FILE}::test_what_goes_in_comes_out",
    f"pytest {FILE}::test_sums_of_rows_and_columns",
    f"pytest {FILE}::test_matches_the_first_input",
    f"pytest {FILE}::TestToy::test_of_a_class",
    f"pytest {FILE}::TestToy::test_that_is_inherited",
    f"pytest {FILE}::TestToy",
    f"{FILE}::test_of_a_size[2]",
    "pytest tests/test_other.py",
    "test_elsewhere",
]


@pytest.mark.parametrize("test", SOUND)
def test_a_test_that_is_there_and_judges_is_no_finding(
    test: str, project: Path
) -> None:
    contract(project, bound_to(test))

    assert _lint(project).findings == ()


DRIFT = {
    "A": (f"{FILE}::test_matches_the_first_output", "test_matches_the_first_input"),
    "B": (f"{FILE}::test_elsewhere", "tests/test_other.py::test_elsewhere"),
    "C": (f"{FILE}::test_something_guessed", ""),
    "D": (f"{FILE}::test_sums_of_rows", "test_sums_of_rows_and_columns"),
    "E": ("the suite of the toy or equivalent", ""),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_each_class_of_drift_is_found_with_what_was_meant(
    drift: str, project: Path
) -> None:
    cited, near = DRIFT[drift]
    contract(project, bound_to(cited))

    (found,) = _lint(project).findings

    assert found.rule == ("BIND-001" if drift == "E" else "PV-VER-002")
    assert f"(drift {drift}: " in found.message
    assert near in found.repair
    assert found.line == 16


def test_four_dangling_names_are_four_findings(project: Path) -> None:
    block = PATTERN.partition("falsification_tests:\n")[2].partition("qa_gate")[0]
    text = PATTERN
    for number in range(2, 6):
        more = block.replace("TOY-001", f"TOY-00{number}")
        wrong = more.replace("goes_in_comes_out", f"is_called_{number}")
        text = text.replace("qa_gate:", f"{wrong}qa_gate:")
    contract(project, text)

    found = _lint(project).findings

    assert [each.rule for each in found] == ["PV-VER-002"] * 4


def test_the_right_class_counts(project: Path) -> None:
    contract(project, bound_to(f"{FILE}::TestOther::test_of_a_class"))

    (found,) = _lint(project).findings

    assert f"cite {FILE}::TestToy::test_of_a_class" in found.repair


WEAK = {
    "test_that_is_skipped": "BIND-002",
    "test_that_is_empty": "BIND-003",
    "test_that_asserts_nothing": "BIND-004",
}


@pytest.mark.parametrize("name", WEAK)
def test_a_test_that_could_not_fail_is_found(name: str, project: Path) -> None:
    contract(project, bound_to(f"pytest {FILE}::{name}"))

    (found,) = _lint(project).findings

    assert found.rule == WEAK[name]


def test_a_mark_of_the_module_skips_its_tests(project: Path) -> None:
    file = project / "tests" / "test_other.py"
    mark = "import pytest\n\npytestmark = [pytest.mark.xfail]\n\n"
    file.write_text(mark + file.read_text())
    contract(project, bound_to("pytest tests/test_other.py::test_elsewhere"))

    (found,) = _lint(project).findings

    assert found.rule == "BIND-002"
    assert "xfail" in found.message


def test_what_cannot_be_judged_is_counted_and_no_finding(project: Path) -> None:
    contract(project, bound_to("cargo test toy"))
    contract(project, bound_to("").replace("TOY", "PENDING"), "pending-v1")

    found = _lint(project)

    assert found.findings == ()
    assert dict(found.judged) == {"cargo": 1, "pending": 1}
    assert found.unjudged == 2


def test_an_id_that_no_contract_has_is_found_where_it_is_shown(project: Path) -> None:
    (project / "toy.py").write_text('"""FALSIFY-DOC-001."""\n\nX = "FALSIFY-TOY-009"\n')
    contract(project)

    (found,) = _lint(project).findings

    assert (found.rule, found.file, found.line) == ("BIND-006", "toy.py", 3)


def test_an_id_of_two_contracts_is_found(project: Path) -> None:
    contract(project)
    contract(project, PATTERN.replace("C-TOY", "C-COPY"), "copy-v1")

    found = _lint(project).findings

    assert {each.rule for each in found} == {"BIND-007"}
    assert {each.message.split()[0] for each in found} == {
        "FALSIFY-TOY-001",
        "TOY-INV-001",
        "QA-TOY",
    }


def test_only_strictness_makes_an_error_of_a_dangling_name(project: Path) -> None:
    contract(project, bound_to(f"{FILE}::test_something_guessed"))

    assert _lint(project).errors == 0
    assert _lint(project, strict=True).errors == 1


def test_without_bindings_no_source_is_read(project: Path) -> None:
    (project / "toy.py").write_text("not python at all")
    contract(project)

    assert lint(project / "contracts", LintOptions(project)).findings == ()
    with pytest.raises(CorruptFileError, match=r"toy\.py: line 1: this is not Python"):
        _lint(project)


def test_pytest_itself_is_asked_for_parameters(project: Path) -> None:
    contract(project, bound_to(f"{FILE}::test_of_a_size[3]"))

    assert _lint(project).findings == ()
    (found,) = _lint(project, collect=True).findings
    assert found.rule == "BIND-005"

    contract(project, bound_to(f"{FILE}::test_of_a_size[2]"))
    assert _lint(project, collect=True).findings == ()


RECORD = """\
  changelog:
  - version: 1.1.0
    date: '2026-11-21'
    change: a reason
"""
CHANGES = {
    "nothing": (PATTERN, set()),
    "the text alone": (PATTERN.replace("What goes", "All that goes"), {"HISTORY-002"}),
    "the version, too": (PATTERN.replace("1.0.0", "1.1.0"), {"HISTORY-003"}),
    "all": (PATTERN.replace("1.0.0\n", "1.1.0\n" + RECORD), set()),
}


def _committed(project: Path) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), (*own, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=project, check=True)


@pytest.mark.parametrize("change", CHANGES)
def test_a_contract_that_changed_has_to_say_so(change: str, project: Path) -> None:
    after, rules = CHANGES[change]
    contract(project, PATTERN)
    _committed(project)
    contract(project, after)
    (project / "contracts" / "new-v1.yaml").write_text(PATTERN.replace("TOY", "NEW"))

    found = _lint(project, since="HEAD").findings

    assert {each.rule for each in found} == rules


def test_git_has_to_know_the_revision(project: Path) -> None:
    contract(project)
    _committed(project)

    with pytest.raises(EnvironmentFailureError, match="--since a revision"):
        _lint(project, since="nowhere")


@pytest.mark.parametrize(
    ("evidence", "rules"), [("", {"HISTORY-001"}), ("\n  evidence: runs/1.json", set())]
)
def test_what_is_discharged_names_its_evidence(
    evidence: str, rules: set[str], project: Path
) -> None:
    kind = "  kind: pattern\n"
    said = f"{kind}  status: DISCHARGED{evidence}\n"
    contract(project, PATTERN.replace(kind, said))

    assert {each.rule for each in _lint(project).findings} == rules


def test_a_folder_without_contracts_is_no_folder_of_them(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no contracts"):
        lint(tmp_path, LintOptions())
