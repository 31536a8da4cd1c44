"""Why this module exists: a join token goes to strangers, and an RPC address may hold a key that others would use up.

Pure.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from swarm.settings.sections import ChainSettings


def public_endpoints(chain: ChainSettings) -> tuple[str, ...]:
    """What a join token names: ``chain.public_rpc``, else those of ``chain.rpc`` that are a bare host and port."""
    return chain.public_rpc or tuple(url for url in chain.rpc if _is_bare(url))


def _is_bare(url: str) -> bool:
    parts = urlsplit(url)
    return not (parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"))
