"""Charts as SVG and templates of pages, for the report of a run and the leaderboard: pure functions of their inputs."""
