"""Verification: whether one model is a faithful conversion of another, and why not."""
