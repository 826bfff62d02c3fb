"""What each node has left, kept up to date one pod at a time: placing a pod never counts all the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiinfn_hub.kube.slim import Node, Pod
from aiinfn_hub.local.controllers.scheduling import NodeView

TERMINAL = frozenset({"Succeeded", "Failed"})


@dataclass
class Bookings:
    """Nodes with what is booked on them.

    A pod that was just placed is booked before the API has confirmed it (the scheduler's "assume"), so that the next
    pod does not get the same room.
    """

    views: dict[str, NodeView] = field(default_factory=dict)
    _booked: dict[str, tuple[str, Mapping[str, int]]] = field(default_factory=dict)
    _homeless: dict[str, NodeView] = field(default_factory=dict)

    def set_node(self, node: Node) -> None:
        """A node is there, or has changed."""
        view = self.views.get(node.name) or self._homeless.pop(node.name, None) or NodeView(node)
        view.node = node
        self.views[node.name] = view

    def remove_node(self, name: str) -> None:
        """A node is gone; what is booked on it stays known, in case it comes back under its name."""
        view = self.views.pop(name, None)
        if view is not None and view.pods:
            self._homeless[name] = view

    def see(self, pod: Pod) -> bool:
        """A pod as the API has it; True if room was freed."""
        if pod.phase in TERMINAL:
            return self.cancel(pod.uid)
        if pod.node and self._booked.get(pod.uid, ("", {}))[0] != pod.node:
            self.book(pod, pod.node)
        # A pod without a node keeps an assumed booking: this news may be older than the binding.
        return False

    def book(self, pod: Pod, node: str) -> None:
        """Reserve what the pod asks for; an earlier booking of it is undone."""
        self.cancel(pod.uid)
        view = self.views.get(node)
        if view is None:
            view = self._homeless.setdefault(node, NodeView(Node(uid="", name=node)))
        self._booked[pod.uid] = (node, pod.requests)
        self._add(view, pod.requests, 1)

    def cancel(self, uid: str) -> bool:
        """Free what a pod held; False if it held nothing."""
        node, requests = self._booked.pop(uid, ("", {}))
        view = self.views.get(node) or self._homeless.get(node)
        if view is None:
            return False
        self._add(view, requests, -1)
        return True

    def where(self, uid: str) -> str:
        """The node on which a pod is booked; "" if on none."""
        return self._booked.get(uid, ("", {}))[0]

    @staticmethod
    def _add(view: NodeView, requests: Mapping[str, int], sign: int) -> None:
        view.pods += sign
        for resource, amount in requests.items():
            view.used[resource] = view.used.get(resource, 0) + sign * amount
