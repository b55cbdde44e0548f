"""What comes of the tests that falsifiers cite."""

from pathlib import Path

from aprhub.contracts.catalogue import contracts
from aprhub.contracts.running import run
from tests.unit.contracts.texts import bound_to, contract, tree

FILE = "tests/test_toy.py"
OUTCOMES = {
    f"pytest {FILE}::test_what_goes_in_comes_out": ("held", 1),
    f"pytest {FILE}::test_of_a_size": ("held", 2),
    f"pytest {FILE}::test_of_a_size[2]": ("held", 1),
    f"pytest {FILE}::TestToy": ("held", 2),
    f"pytest {FILE}::test_that_is_skipped": ("unproved", 1),
    "pytest tests/test_broken.py": ("broken", 2),
    f"pytest {FILE}::test_of_nothing": ("missing", 0),
    "cargo test toy": ("not run", 0),
}


def test_a_falsifier_holds_when_all_its_tests_pass(tmp_path: Path) -> None:
    project = tree(tmp_path)
    broken = "def test_a(): assert True\ndef test_b(): assert False\n"
    (project / "tests" / "test_broken.py").write_text(broken)
    for number, test in enumerate(OUTCOMES):
        text = bound_to(test).replace("TOY-001", f"TOY-00{number}")
        contract(project, text, f"toy-{number}-v1")

    found = run(contracts(project / "contracts"), project)

    ended = [(each.outcome, sum(each.tests.values())) for each in found]
    assert ended == list(OUTCOMES.values())
    assert [each.contract for each in found] == [f"toy-{n}" for n in range(8)]
