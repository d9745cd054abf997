"""What a replica shows of itself: log lines, metrics, and whether it lives and is ready. Nothing here decides."""
