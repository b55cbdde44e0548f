"""Run a command, ended after some seconds, and print what it did and took as JSON."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _launched(seconds: float, line: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        signal.signal(signal.SIGALRM, lambda *_: child.kill())
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return {
            "code": child.returncode,
            "stdout": _text(out),
            "stderr": _text(err),
            "peak": usage.ru_maxrss * 1024,
            "seconds": time.monotonic() - began,
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_launched(float(sys.argv[1]), sys.argv[2:])))
