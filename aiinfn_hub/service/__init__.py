"""Composition root of the service process: one tornado application over the rooms, and the work behind it."""
