"""Carries out a recipe: stages in order, each with a folder, a fingerprint and a manifest."""
