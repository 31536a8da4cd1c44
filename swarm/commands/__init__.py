"""Why this package exists: the commands of ``swarm.cli`` that come in groups, a module for each group."""
