"""Acceptance: gates that a model passes before anybody relies on it."""
