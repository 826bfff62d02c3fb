"""What runs inside a job: standard library only, Python 3.8+, shipped as text and loaded as `aiinfn_run` by boot.py.

Nothing here may import from the rest of the project: in a job, this folder is all there is.
"""
