"""Why this package exists: every operator of docs/exact-1.md in Python integers: slow, obvious, judge of the rest."""
