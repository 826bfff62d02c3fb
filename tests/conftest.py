"""Fixtures for everybody."""

from __future__ import annotations

from support.databases import database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]
