"""Runs the command line: `python -m aprhub`."""

from aprhub.cli import main

if __name__ == "__main__":
    main()
