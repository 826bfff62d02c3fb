"""All checks, in the order in which they are shown."""

from __future__ import annotations

from aiinfn_hub.install.doctor import (
    kueue_checks,
    node_checks,
    pod_checks,
    policy_checks,
    queue_checks,
    queue_use_checks,
    rights_checks,
    settings_checks,
)
from aiinfn_hub.install.doctor.findings import NO_PLATFORM, UNREAD

CHECKS = (
    *kueue_checks.CHECKS,
    *settings_checks.CHECKS,
    *queue_checks.CHECKS,
    *queue_use_checks.CHECKS,
    *rights_checks.CHECKS,
    *policy_checks.CHECKS,
    *node_checks.CHECKS,
    *pod_checks.CHECKS,
)
#: Codes that no check of its own has -> when they are told.
OTHERS = {
    UNREAD: "A right is missing, or the cluster did not answer: the checks that it names were not made.",
    NO_PLATFORM: "No platform file was given: the checks that it names were not made.",
}
