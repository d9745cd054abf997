"""The page to look at: read-only, in the threads of the HTTP server, from a State that stands still."""
