"""kind clusters, in which pods are real: a docker engine, the image of their nodes, and the clusters themselves."""
