"""Pretraining: from files to a model that trains, and back to files.

Nothing here needs torch before the gates have been passed.
"""
