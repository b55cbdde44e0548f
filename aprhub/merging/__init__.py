"""Merging models: recipes, what they ask of each tensor, and the model that results."""
