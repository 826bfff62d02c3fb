"""A Kubernetes API for one machine: what our code, KubeSpawner and kubectl use of it, and no more.

It stands in for kube-apiserver, etcd, the garbage collector and the namespace controller. Everything is kept as decoded
JSON and answered from memory; a change is on disk before it is acknowledged.

Where it differs from the real one is listed in `docs/explanation/embedded.md`; `tests/conformance` asks both. Not tried
there: owners in a circle, deleted in the foreground, wait for each other for ever; and objects of definitions are
converted by their `apiVersion` alone.
"""

from aiinfn_hub.local.api.server import ApiServer

__all__ = ["ApiServer"]
