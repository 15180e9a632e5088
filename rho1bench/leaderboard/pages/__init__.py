"""The leaderboard as Markdown and HTML, built and served."""
