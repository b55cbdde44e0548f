"""Adapters: read in any layout, merged into any base, converted, stacked, made."""
