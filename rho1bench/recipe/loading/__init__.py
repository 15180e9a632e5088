"""Reads a recipe: YAML, `extends:`, `--set`, with every problem told at once."""
