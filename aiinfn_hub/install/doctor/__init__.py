"""`aiinfn doctor`: the traps of a cluster, named one by one, each with the line that mends it. It changes nothing."""
