"""Contracts: promises as YAML files, each bound to the tests that would break it."""
