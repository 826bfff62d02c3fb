"""Fixtures for everybody."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from support.clusters import cluster, controlplane, own_cluster
from support.databases import database, database_url, postgres

__all__ = ["cluster", "controlplane", "database", "database_url", "own_cluster", "postgres"]

# Time limits per example measure how busy the machine is. In CI the examples are the same in each run, so that a change
# is not blamed for what chance found; on a developer's machine they differ, and what is found becomes a test.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("search"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "search")
