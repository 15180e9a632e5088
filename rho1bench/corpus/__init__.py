"""Corpora: document sources, the tokenizer, packing into blocks, and the embedded mini world (paper section 3.1)."""
