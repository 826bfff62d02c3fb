from __future__ import annotations

from aiinfn_hub.pods.security import IMAGE_GID, container_security, pod_security


def test_the_pod_meets_the_restricted_standard() -> None:
    found = pod_security(20001)
    assert found["runAsNonRoot"] is True
    assert found["runAsUser"] != 0
    assert found["seccompProfile"] == {"type": "RuntimeDefault"}


def test_new_files_belong_to_the_activity_and_the_image_stays_writable() -> None:
    found = pod_security(20001, uid=54321)
    assert (found["runAsUser"], found["runAsGroup"], found["fsGroup"]) == (54321, 20001, 20001)
    assert found["supplementalGroups"] == [IMAGE_GID]


def test_the_container_meets_the_restricted_standard() -> None:
    found = container_security()
    assert found["allowPrivilegeEscalation"] is False
    assert found["capabilities"] == {"drop": ["ALL"]}
    assert found["privileged"] is False
    assert found["runAsNonRoot"] is True


def test_changing_one_context_leaves_the_next_alone() -> None:
    container_security()["capabilities"]["drop"].clear()
    assert container_security()["capabilities"] == {"drop": ["ALL"]}
