"""The pages of the hub panel: what I used, what my activity used, who holds what."""
