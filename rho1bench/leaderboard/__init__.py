"""Comparison of checkpoints: statistics, the ``compare`` stage, the summary over seeds, tables for the console."""
