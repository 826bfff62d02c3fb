"""How Kueue itself has to be set: the `Configuration` of its manager, which its chart installs. Pure."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.install.kueue import NAMESPACE_LABEL


def configuration(platform: Platform) -> dict[str, Any]:
    """The document of the key `managerConfig.controllerManagerConfigYaml`; helm-values/kueue.yaml holds the same."""
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443", "enableClusterQueueResources": True},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": True, "resourceName": "c1f6bfd2.kueue.x-k8s.io"},
        "controller": {"groupKindConcurrency": _CONCURRENCY},
        "clientConnection": {"qps": 50, "burst": 100},
        # Only what runs in our namespace, and only what names a queue there.
        "manageJobsWithoutQueueName": False,
        "managedJobsNamespaceSelector": {"matchLabels": {NAMESPACE_LABEL: platform.namespace}},
        "integrations": {"frameworks": ["batch/job", "pod"]},
        # Kueue takes a pod that is not Ready for a failed one: by default it deletes a session whose image takes half
        # an hour, and throws away a job's place in the queue of a remote site. A week is longer than sites make anybody
        # wait; recoveryTimeout 0 never deletes a session that was Ready once.
        "waitForPodsReady": {
            "timeout": "168h",
            "recoveryTimeout": "0s",
            "requeuingStrategy": {"timestamp": "Creation", "backoffLimitCount": 5},
        },
        # Between the activities, for their jobs: who used less lately comes first.
        "admissionFairSharing": {"usageHalfLifeTime": "168h", "usageSamplingInterval": "5m"},
        # The ledger keeps the history; Kueue need not.
        "objectRetentionPolicies": {"workloads": {"afterFinished": "24h", "afterDeactivatedByKueue": "24h"}},
    }


_CONCURRENCY = {
    "Job.batch": 5,
    "Pod": 5,
    "Workload.kueue.x-k8s.io": 5,
    "LocalQueue.kueue.x-k8s.io": 1,
    "ClusterQueue.kueue.x-k8s.io": 1,
    "ResourceFlavor.kueue.x-k8s.io": 1,
}
