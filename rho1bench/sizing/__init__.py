"""How large models are and what they cost: shapes, FLOPs, GPUs."""
