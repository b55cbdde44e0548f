"""Whole conversions, judged by other programs."""
