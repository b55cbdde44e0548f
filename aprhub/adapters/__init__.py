"""Adapters: opened in any layout, merged into any base, converted, stacked, extracted."""
