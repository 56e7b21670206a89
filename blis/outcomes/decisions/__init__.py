"""What was decided about requests, what the policies saw, and what other decisions would have changed."""
