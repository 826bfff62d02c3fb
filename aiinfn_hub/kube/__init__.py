"""The only room that speaks to Kubernetes: client, slim records, watch cache, events, leases."""
