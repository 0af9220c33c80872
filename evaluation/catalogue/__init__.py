"""What the repository says of its cases: their measured difficulty, and their reference page."""
