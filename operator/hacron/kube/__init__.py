"""The API server of this replica's own cluster: requests out, answers and Jobs in."""
