"""Why this module exists: the palettes from which every colour on every screen comes: light and dark, in full colour
and in the sixteen of an old terminal."""

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
    variables={"line": "#2b3345", "faint": "#6b7591", "cursor": "#222a3b", "footer-key-foreground": "#7aa2f7"},
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
    variables={"line": "#cfd5e6", "faint": "#78819a", "cursor": "#dde3f3", "footer-key-foreground": "#2f5fd0"},
)

_PLAIN = {
    "foreground": "ansi_default",
    "background": "ansi_default",
    "surface": "ansi_default",
    "panel": "ansi_default",
    "boost": "ansi_default",
}

_INPUT_16 = {
    "border-blurred": "ansi_bright_black",
    "block-cursor-foreground": "ansi_black",
    "block-cursor-background": "ansi_white",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_cyan",
    "input-selection-foreground": "ansi_black",
    "screen-selection-background": "ansi_cyan",
    "screen-selection-foreground": "ansi_black",
}

DARK_16 = Theme(
    name="swarm-dark-16",
    dark=True,
    ansi=True,
    **_PLAIN,
    primary="ansi_bright_blue",
    secondary="ansi_bright_magenta",
    accent="ansi_bright_cyan",
    success="ansi_bright_green",
    warning="ansi_bright_yellow",
    error="ansi_bright_red",
    variables={
        **_INPUT_16,
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "input-cursor-background": "ansi_black",
        "input-cursor-foreground": "ansi_bright_white",
        "line": "ansi_bright_black",
        "faint": "ansi_white",
        "cursor": "ansi_blue",
        "footer-key-foreground": "ansi_bright_blue",
    },
)

LIGHT_16 = Theme(
    name="swarm-light-16",
    dark=False,
    ansi=True,
    **_PLAIN,
    primary="ansi_blue",
    secondary="ansi_magenta",
    accent="ansi_cyan",
    success="ansi_green",
    warning="ansi_red",
    error="ansi_bright_red",
    variables={
        **_INPUT_16,
        "ansi-background": "ansi_white",
        "ansi-foreground": "ansi_black",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "line": "ansi_white",
        "faint": "ansi_bright_black",
        "cursor": "ansi_bright_cyan",
        "footer-key-foreground": "ansi_blue",
    },
)

THEMES = (DARK, LIGHT, DARK_16, LIGHT_16)


def theme_for(color_system: str | None, *, dark: bool) -> str:
    """The palette's name for a terminal of ``color_system`` (Rich's word: truecolor, 256, standard or None)."""
    if color_system == "standard":
        return DARK_16.name if dark else LIGHT_16.name
    return DARK.name if dark else LIGHT.name
