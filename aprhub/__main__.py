"""The program: `aprhub`, or `python -m aprhub`."""

import atexit
import gc
import os
import sys


def run() -> None:
    """Run the command line as the whole of a process, which ends with it."""
    gc.disable()
    end = _End()
    # The first that is registered is the last that is called.
    atexit.register(end)
    from aprhub.cli import main

    try:
        main()
    except SystemExit as error:
        end.code = int(error.code or 0)
        raise


class _End:
    """Ends the process without taking its interpreter apart.

    To do so takes a tenth of a second after a vocabulary of a million objects. And a
    thread of Gloo that still asks for the interpreter then ends the process with
    SIGABRT, before CPython 3.14; torch has no call that ends those threads
    (pytorch/pytorch#190489).
    """

    code: int = 1

    def __call__(self) -> None:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(self.code)


if __name__ == "__main__":
    run()
