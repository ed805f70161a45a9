"""Static leaderboard out of result records."""
