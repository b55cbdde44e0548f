"""The command line, run in this process."""

import json
from typing import Any

from attrs import frozen
from click.testing import CliRunner

from aprhub.cli import main


@frozen
class Done:
    """What a command came to: its exit code, what it said, what it complained of."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said, as JSON by the letter of its standard."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def run(*words: object) -> Done:
    """Run a command, its words made text; what it does not catch comes out."""
    done = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    return Done(done.exit_code, done.stdout, done.stderr)


def succeed(*words: object) -> Done:
    """Run a command that must succeed and complain of nothing."""
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    return done


def refused(code: int, *words: object) -> str:
    """Run a command that must fail with a code, and return its complaint."""
    done = run(*words)
    assert (done.code, done.out) == (code, ""), done.err
    assert done.err.startswith("aprhub: error: ")
    assert "Traceback" not in done.err
    return done.err
