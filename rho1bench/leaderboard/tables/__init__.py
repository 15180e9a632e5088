"""The leaderboard as tables of values, computed from records alone."""
