"""Writes layouts: atomic, parallel, judged before they are put in place."""
