"""Why this package exists: the commands of ``swarm.cli`` that come in groups, each group in a module a person can read."""
