"""What a session and a job both need in a pod: names, resources, placement, storage, image, hardening. Pure."""
