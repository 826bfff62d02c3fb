"""A kubelet for processes: one agent that plays several nodes and runs containers as processes of this machine."""
