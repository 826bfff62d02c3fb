"""The hub process: JupyterHub's plug-ins, thin over the rooms below."""
