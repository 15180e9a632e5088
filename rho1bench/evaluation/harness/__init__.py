"""The use of lm-eval: its tasks, its groups and its interface to a model."""
