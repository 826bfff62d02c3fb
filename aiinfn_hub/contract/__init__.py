"""The wire format between notebook, service, hub and runner. Pure; light enough for a user image."""
