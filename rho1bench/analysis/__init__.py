"""Looking inside a run: what its checkpoints say of each token of a text (paper sections 2.1 and 3.5)."""
