"""Composition root of the hub process: authenticator, spawner and extra handlers, thin over the rooms below."""
