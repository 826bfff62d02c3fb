"""What a session has in Kubernetes: its pod, and the Secret that keeps its token out of the pod's manifest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import AiinfnError, Conflict, InvalidInput, NotFound, Unavailable
from aiinfn_hub.kube.client import PODS, SECRETS, WORKLOADS, KubeClient
from aiinfn_hub.kube.moments import unix
from aiinfn_hub.pods import iam_token, names

#: Annotation that tells the pod of one start from one that an earlier start left under the same name.
START = names.PREFIX + "start"
#: Label by which Kueue's Workload names the pod that it is for.
JOB_UID = "kueue.x-k8s.io/job-uid"
_KEY = "token"

#: A pod as the Kubernetes API sends it.
Pod = dict[str, Any]


class SessionObjects:
    """The objects of the session whose pod is `name`. Errors are those of `KubeClient`."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    @property
    def token_variable(self) -> dict[str, Any]:
        """The environment variable that reads the token, as KubeSpawner takes it."""
        source = {"secretKeyRef": {"name": self._secret, "key": _KEY}}
        return {"name": "JUPYTERHUB_API_TOKEN", "valueFrom": source}

    async def put_token(self, token: str, labels: Mapping[str, str], owner: str) -> None:
        """Write the Secret, over what an earlier start left; it goes when the pod goes, whose uid is `owner`."""
        await self._put(self._secret, {_KEY: token}, labels, owner)

    async def put_iam_token(self, files: Mapping[str, str], labels: Mapping[str, str], owner: str) -> None:
        """Write the Secret of which the session sees each key as a file; without any, the files go away."""
        await self._put(iam_token.secret_name(self._name), files, labels, owner)

    async def put_job_token(self, run: str, uid: str, files: Mapping[str, str] | None) -> None:
        """Write the Secret of which a job of this person sees each key as a file; None empties it, if it is there.

        It goes when the Job goes, whose uid is `uid`.
        """
        name = f"job-{run}"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
        labels = {names.KIND: names.JOB, names.RUN: run}
        secret = self._secret_of(iam_token.secret_name(name), files or {}, labels, owner)
        if files is not None:
            await self._create_or_replace(secret)
            return
        with suppress(NotFound):
            await self._client.replace(SECRETS, secret)

    async def _put(self, name: str, texts: Mapping[str, str], labels: Mapping[str, str], owner: str) -> None:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": self._name, "uid": owner}
        await self._create_or_replace(self._secret_of(name, texts, labels, reference))

    def _secret_of(
        self, name: str, texts: Mapping[str, str], labels: Mapping[str, str], owner: dict[str, str]
    ) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self._namespace, "labels": dict(labels), "ownerReferences": [owner]}
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}

    async def _create_or_replace(self, secret: dict[str, Any]) -> None:
        try:
            await self._client.create(SECRETS, secret)
        except Conflict:
            await self._client.replace(SECRETS, secret)

    async def create_pod(self, manifest: Pod) -> Pod | None:
        """The pod: made now, or the one that has the name already. None if that one has just gone."""
        try:
            return await self._client.create(PODS, manifest, self._namespace)
        except Conflict:
            return await self.pod()

    async def pod(self) -> Pod | None:
        """The pod as it is now, if there is one."""
        with suppress(NotFound):
            return await self._client.get(PODS, self._name, self._namespace)
        return None

    async def delete_pod(self, uid: str) -> None:
        """Delete this pod, and none that has taken its name meanwhile. At once: nothing runs in it yet."""
        with suppress(NotFound, Conflict):
            await self._client.delete(PODS, self._name, self._namespace, grace_s=0, uid=uid)

    async def open_gate(self, pod: Pod) -> None:
        """Take our gate away, if it is still where `pod` says; Kueue may change the list at the same time.

        Raises:
            Unavailable: the list has changed; look again.
        """
        path = f"/spec/schedulingGates/{gates(pod).index(names.GATE)}"
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": path, "value": {"name": names.GATE}},
            {"op": "remove", "path": path},
        ]
        try:
            await self._client.patch(PODS, self._name, patch, self._namespace, strategy="json")
        except InvalidInput as error:
            raise Unavailable(f"The gates of pod {self._name} have changed meanwhile.") from error

    async def withdraw(self, uid: str = "") -> bool:
        """Take the ticket out of the queue; with `uid` only that one. False if there is none."""
        pod = await self.pod()
        if pod is None or not is_ticket(pod) or uid not in ("", pod["metadata"]["uid"]):
            return False
        await self.delete_pod(pod["metadata"]["uid"])
        return True

    async def workload(self, pod: Pod) -> dict[str, Any] | None:
        """Kueue's Workload of a pod that is held back, which alone says why; None if nothing can be learned of it."""
        if not gates(pod):
            return None
        selector = f"{JOB_UID}={pod['metadata']['uid']}"
        try:
            # Asked by every start that waits: from etcd it would be all Workloads each time.
            items, _ = await self._client.list(WORKLOADS, self._namespace, labels=selector, limit=0)
        except AiinfnError:
            return None  # a reason is a courtesy; without Kueue there is no such kind
        return items[0] if items else None

    @property
    def _secret(self) -> str:
        return f"{self._name}-token"


def gates(pod: Pod) -> list[str]:
    """What keeps the pod from being scheduled."""
    return [gate["name"] for gate in pod["spec"].get("schedulingGates") or ()]


def is_ticket(pod: Pod | None) -> bool:
    """Whether the pod waits for its server to be started."""
    return pod is not None and names.GATE in gates(pod) and not pod["metadata"].get("deletionTimestamp")


def is_same(pod: Pod, manifest: Pod) -> bool:
    """Whether the pod under the name is that of this start, or a ticket for the same choice.

    A start's own pod is found when its request was not answered in time.
    """
    found, wanted = (one["metadata"].get("annotations") or {} for one in (pod, manifest))
    if found.get(START) == wanted[START]:
        return True
    return is_ticket(pod) and found.get(names.CHOICE) == wanted[names.CHOICE]


def ticket_in(pod: Pod | None, known: TicketOffer | None) -> TicketOffer | None:
    """The ticket that the pod is, if it is one; as `known` if that is about the same pod, else without a place."""
    if pod is None or not is_ticket(pod):
        return None
    meta = pod["metadata"]
    if known is not None and known.uid == meta["uid"]:
        return known
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    return TicketOffer(
        uid=meta["uid"],
        server=notes.get(names.SERVER, ""),
        flavour=labels.get(names.FLAVOUR, ""),
        activity=labels.get(names.ACTIVITY, ""),
        since=unix(meta["creationTimestamp"]),
    )


def waiting_flavours(pods: Mapping[str, Pod], person: str) -> dict[str, str]:
    """Name of the pod and flavour of the person's tickets."""
    held = [pod["metadata"] for pod in pods.values() if is_ticket(pod)]
    return {
        meta["name"]: meta.get("labels", {}).get(names.FLAVOUR, "")
        for meta in held
        if (meta.get("annotations") or {}).get(names.PERSON_NAME) == person
    }
