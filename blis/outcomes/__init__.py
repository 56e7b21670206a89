"""What happened: one row per request, and what it means."""
