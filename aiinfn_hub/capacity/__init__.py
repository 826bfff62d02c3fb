"""What is free now: arithmetic over nodes and pods (pure), and the live reporter over the caches."""
