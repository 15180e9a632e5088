"""What the YAMLs of tasks/ name with ``!function``: documents, prompts and scores (paper section 3.2, 3.3)."""
