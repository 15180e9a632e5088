"""Answers of models to read: a page that holds prompts, completions and verdicts, and two evaluations side by side."""
