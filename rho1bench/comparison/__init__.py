"""Are two sets of scores different? Paired statistics, intervals, seeds, and the stage ``compare`` (section 3.3)."""
