"""What sessions run in: images of registries."""
