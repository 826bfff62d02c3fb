"""The hub side of aiinfn: identity, sessions, offloading and accounting of GPUs on JupyterHub and Kubernetes."""

__version__ = "0.1.0"
