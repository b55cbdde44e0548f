"""The program: `aprhub`, or `python -m aprhub`.

Its process ends with the command, so nobody looks for cycles in what it leaves: among
a million objects of a vocabulary that takes a tenth of a second.
"""

import atexit
import gc


def run() -> None:
    """Run the command line as the whole of a process."""
    gc.disable()
    # As it ends, the interpreter collects whether or not that is disabled, but not
    # what is frozen.
    atexit.register(gc.freeze)
    from aprhub.cli import main

    main()


if __name__ == "__main__":
    run()
