"""JupyterHub's own proxy, on Node: the Python one buffers whole answers, so that nothing streams through it."""
