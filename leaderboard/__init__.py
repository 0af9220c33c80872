"""The leaderboard: submissions that anyone can verify, ranks, and the site."""
