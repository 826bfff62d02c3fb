"""A kubelet for processes: one agent that plays several nodes and runs containers as processes of this machine."""

from aiinfn_hub.local.agent.agent import NodeAgent, this_machine

__all__ = ["NodeAgent", "this_machine"]
