"""The platform for one machine: an IAM, a Kubernetes API, a node agent, a queue, and `aiinfn demo` over them."""
