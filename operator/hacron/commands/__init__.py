"""What people and scripts call: each command in a module of its own."""
