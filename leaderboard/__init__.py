"""The leaderboard: submissions, ranking and the site, still to come."""
