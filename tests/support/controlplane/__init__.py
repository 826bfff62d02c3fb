"""The real control plane on loopback: etcd, kube-apiserver, controller-manager, scheduler, Kueue and KWOK, without containers."""
