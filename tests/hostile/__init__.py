"""Broken and hostile files: one change each to a complete, tiny, valid model.

The files are made here by writers of their own, which share no code with the readers
that are tried on them. `case` says what is expected of one file, the `*_file` modules
write valid files and lies about them, the `*_cases` modules list the lies, and the
tests send all of them through the command line.
"""
