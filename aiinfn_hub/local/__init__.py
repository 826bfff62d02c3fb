"""The embedded platform for one machine: an IAM, a Kubernetes API, a node agent, a queue; stand-ins at the API boundary."""
