"""Evaluating checkpoints through lm-eval: engines (vllm, hf), tool loop, harness, suites, the eval stage.

Between ``training`` (which leaves checkpoints) and ``leaderboard`` (which compares scores). Paper sections 3.2 and 3.3.
One engine serves all checkpoints of one architecture; one unit of work is a checkpoint with the tasks of one suite.
"""
