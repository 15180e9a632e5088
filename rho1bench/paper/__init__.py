"""What the paper states and the suite repeats: its suites of tasks, its tables (arXiv 2404.07965)."""
