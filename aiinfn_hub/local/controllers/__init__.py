"""The controllers of the embedded platform: clients of the Kubernetes API like any other, with pure rules inside."""

from __future__ import annotations

from aiinfn_hub.local.controllers.jobs import JobController
from aiinfn_hub.local.controllers.nodes import NodeController
from aiinfn_hub.local.controllers.queue import QueueController
from aiinfn_hub.local.controllers.scheduler import Scheduler

__all__ = ["JobController", "NodeController", "QueueController", "Scheduler"]
