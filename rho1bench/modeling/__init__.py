"""Causal language models as the pipeline uses them: built or loaded, their head, their ranks (paper section 3.1)."""
