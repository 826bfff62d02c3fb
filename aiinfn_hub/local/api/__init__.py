"""A Kubernetes API for one machine: what our code, KubeSpawner and kubectl use of it, and no more.

It stands in for kube-apiserver, etcd, the garbage collector and the namespace controller. Everything is kept as decoded
JSON and answered from memory; a change is on disk before it is acknowledged.

Not served, or less than by the real one:

==============================  =====================================================================================
exec, attach, port-forward      404: the pods are processes of this machine
apps, policy, networking, ...   404: define them with a CustomResourceDefinition
RBAC                            stored, not enforced: whoever has the token may do everything
ResourceQuota, LimitRange       stored, not enforced
ServiceAccount tokens           none are issued or mounted; no account `default` is made
admission webhooks              stored nowhere; `ApiServer(admission=...)` is the one hook, at creations
schemas of CRDs                 not checked, no defaults, no pruning; conversion changes `apiVersion` only
unknown fields                  kept, where the real one drops them for builtin kinds
server-side apply               a strategic merge (builtin) or merge patch that creates; no managedFields, no ownership
persistent volumes              nothing binds a claim: it stays Pending, and the node agent gives it a directory
logs                            no times: `timestamps`, `sinceSeconds`, `sinceTime`, `previous` answer 400
owners in a circle              deleted in the foreground, they wait for each other for ever
pods of a node that is gone     stay; there is no pod garbage collector
lists at an older version       answered with the present one; pages of one list do show one moment
OpenAPI schemas                 none; `kubectl explain` does not work
protobuf bodies                 415: sent by `kubectl create configmap` and `auth can-i`, not by `create -f`
==============================  =====================================================================================
"""

from aiinfn_hub.local.api.server import ApiServer

__all__ = ["ApiServer"]
