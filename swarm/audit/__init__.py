"""Spot-checks: who keeps evidence, who is drawn to look, how work is done again, and what that decides."""
