"""Notebook servers: what a person can choose, one validation for every door, and what to say while they wait. Pure."""
