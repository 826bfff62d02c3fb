"""What an operator applies to a cluster, rendered from the platform file; pure, but for the command that prints it."""
