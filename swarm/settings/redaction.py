"""Why this module exists: what leaves the machine is searched for every secret that is on it, whoever wrote it there.

Pure: secrets are handed in; ``swarm.app.bug_report`` collects them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

SHORTEST = 4
"""Pieces of a URL shorter than this are words like ``v3``."""

HIDDEN = "…"
_ORDINARY = frozenset({"http", "https", "rpc", "mainnet", "sepolia", "testnet", "api", "eth", "jsonrpc"})


def forms_of(secret: bytes) -> set[str]:
    """The ways in which bytes may have been written down as text: plain, hexadecimal, base64."""
    plain = set()
    try:
        text = secret.decode("utf-8").strip()
        plain = {text, quote(text, safe="")} if len(text) >= SHORTEST else set()
    except UnicodeDecodeError:
        pass
    encoded = {secret.hex(), base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()}
    return plain | {form for form in encoded if len(form) >= 2 * SHORTEST}


def secrets_in_url(url: str) -> set[str]:
    """What a URL has besides scheme, host and port: credentials, and keys in its path or query."""
    try:
        parts = urlsplit(url)
        hidden = [parts.username or "", parts.password or "", parts.path, parts.query, parts.fragment]
    except ValueError:
        return {url}
    pieces = {piece for part in hidden for piece in re.split(r"[/&=?]", part)}
    return {piece for piece in pieces if len(piece) >= SHORTEST and piece.lower() not in _ORDINARY}


def without_key(url: str) -> str:
    """Scheme, host and port of a URL; whatever else it has is hidden."""
    scheme, _, rest = url.partition("://")
    host = rest.split("/")[0].split("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}" + ("/…" if rest != host else "")


def redacted(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``, whatever the case of hexadecimal ones."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        pattern = re.compile(re.escape(secret), re.IGNORECASE if _is_hex(secret) else 0)
        text = pattern.sub(HIDDEN, text)
    return text


def _is_hex(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{16,}", text) is not None
