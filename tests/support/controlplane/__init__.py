"""The real control plane on loopback, without containers: etcd, Kubernetes, Kueue and KWOK."""
