"""JupyterHub's proxy on Node, installed when it is first needed. The Python one buffers whole responses."""
