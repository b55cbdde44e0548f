"""The end of the program: what is done before it, and that it is an end."""

import os
import subprocess
import sys

import pytest

PROGRAM = r"""
import atexit, sys, threading, time
import aprhub.cli
from aprhub.__main__ import run

def late():
    time.sleep(0.2)
    print("a thread, ", end="")

def main():
    atexit.register(print, "a handler", end="")
    threading.Thread(target=late).start()
    sys.stdout.write("a word, ")
    {end}

class Last:
    def __del__(self, write=sys.stderr.write):
        write("taken apart")

sys.last = Last()
aprhub.cli.main = main
run()
"""


@pytest.mark.parametrize(
    ("end", "code", "complaint"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise RecursionError('deep')", 1, "RecursionError: deep\n"),
    ],
)
def test_a_process_does_what_is_due_and_takes_nothing_apart(
    end: str, code: int, complaint: str
) -> None:
    words = [sys.executable, "-c", PROGRAM.format(end=end)]
    buffered = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=buffered
    )

    assert done.returncode == code
    assert done.stdout == "a word, a thread, a handler"
    assert done.stderr.endswith(complaint)
    assert "taken apart" not in done.stderr


def test_a_reader_that_is_gone_is_no_reason_to_hang_or_to_crash() -> None:
    words = [sys.executable, "-m", "aprhub", "--help"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()

    assert process.wait(10) in (0, 1)
    assert complaint == ""
