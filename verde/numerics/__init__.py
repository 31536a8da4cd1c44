"""Why this package exists: arithmetic whose result is the same on every machine (docs/exact-1.md)."""
