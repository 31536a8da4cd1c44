"""A peer's place in the swarm: entering, coming back, being seen, leaving."""
