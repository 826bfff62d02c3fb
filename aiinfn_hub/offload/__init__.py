"""Jobs: where they may run, what they become in Kubernetes, what happened to them, and what came back."""
