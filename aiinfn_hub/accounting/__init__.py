"""Who held how much of what, for which activity: one record per pod, from observations that are never thrown away."""
