"""The notebook side of aiinfn: `%offload`, its Python API and the Jupyter server extension."""
