"""Why this package exists: compiled loops (numba) behind the operators; each has a definition in docs/exact-1.md."""
