"""Why this package exists: what exact/1 must give, written down, so that any implementation can be held to it.

Each ``*.json`` here belongs to the version that it names and is made by the oracle:
``python -m verde.numerics.vectors`` writes them, ``--check`` compares. README.md says how to read them.
"""
