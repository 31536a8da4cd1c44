"""Why this module exists: two palettes, light and dark, from which every colour on every screen comes."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="swarm-dark",
    dark=True,
    background="#0e1016",
    surface="#141821",
    panel="#1d2330",
    foreground="#cdd6f4",
    primary="#7aa2f7",
    secondary="#bb9af7",
    accent="#5ad4c0",
    success="#9ece6a",
    warning="#e5b567",
    error="#f7768e",
    variables={"line": "#2b3345", "faint": "#6b7591", "footer-key-foreground": "#7aa2f7"},
)

LIGHT = Theme(
    name="swarm-light",
    dark=False,
    background="#f7f8fc",
    surface="#ffffff",
    panel="#e9ecf5",
    foreground="#20263a",
    primary="#2f5fd0",
    secondary="#8248c6",
    accent="#0c8a7a",
    success="#4d7c0f",
    warning="#a8690a",
    error="#c8324b",
    variables={"line": "#cfd5e6", "faint": "#78819a", "footer-key-foreground": "#2f5fd0"},
)
