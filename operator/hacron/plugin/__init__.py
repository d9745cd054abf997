"""`kubectl hacron`: what people ask of a cluster, over the Kubernetes API alone; each command in a module of its own."""
