"""The verdict as the authors' harness gives it (paper section 3.2)."""
