"""kind clusters, in which pods are real: a docker engine, images where no registry gives them, and the clusters themselves."""
