"""What a peer is told before it starts, where it keeps its files, and how others may join."""
