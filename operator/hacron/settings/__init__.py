"""What a replica is told at its start: every setting, how it is read, and how it is shown."""
