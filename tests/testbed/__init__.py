"""Real servers for the tests and the demo: RabbitMQ, Kubernetes control planes, replicas as processes."""
