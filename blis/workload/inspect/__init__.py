"""What a trace holds: how much arrives, how evenly, how long requests are, and what they share."""
