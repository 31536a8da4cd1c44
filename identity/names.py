"""Why this module exists: people tell peers apart by name; ``16Uiu2HAm…`` is not one.

A nickname is a function of the peer id alone, the same on every machine and for ever. There are 24 million: in a
swarm of a thousand, two peers share one with a chance of 2 %, so a nickname is for reading; programs use ids.
"""

from __future__ import annotations

from identity.words import ADJECTIVES, ANIMALS
from protocol.ids import PeerId, peer_id_bytes
from protocol.seeds import derive_bytes


def nickname(peer: PeerId) -> str:
    """Three words, two adjectives (never the same one) and an animal, joined by hyphens: ``brisk-amber-otter``."""
    draw = int.from_bytes(derive_bytes("nickname", peer_id_bytes(peer)), "big")
    draw, first = divmod(draw, len(ADJECTIVES))
    draw, second = divmod(draw, len(ADJECTIVES) - 1)
    animal = draw % len(ANIMALS)
    second += second >= first
    return "-".join((ADJECTIVES[first], ADJECTIVES[second], ANIMALS[animal]))
