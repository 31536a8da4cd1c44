"""Why this module exists: credits can be claimed without running the peer: its table is on disk."""

from __future__ import annotations

from typing import Any

from chain.base import Chain
from identity.names import nickname
from protocol.codec import content_id
from protocol.errors import ChainError
from protocol.ids import Address, PeerId
from protocol.run import RunSpec
from rewards.settlement import adopt_table
from swarm.journal import Journal
from swarm.settling import Settler

WEI_PER_TOKEN = 10**18


async def claim_settled(
    chain: Chain, settler: Settler, journal: Journal, run: RunSpec, peer: PeerId, wallet: Address
) -> dict[str, Any]:
    """Claim everything settled for ``peer``; what came of it, in tokens.

    Raises ``ChainError`` when the chain's latest table is not in the journal: then only the running peer can fetch it.
    """
    view = await chain.clock()
    blobs = {content_id(blob): blob for blob in journal.tables()}
    table = None
    if view.settled_round:
        if view.data_hash not in blobs:
            raise ChainError(
                f"The credit table of round {view.settled_round} is not on this machine.",
                "Your credits are safe on the chain.",
                "Start the peer once (`swarm run`): it fetches the table from the others and claims.",
            )
        table = adopt_table(blobs[view.data_hash], run.id, view)
    claimed_wei = await settler.claim(peer, table)
    balance = await chain.balance(wallet)
    return {
        "nickname": nickname(peer),
        "peer_id": peer,
        "address": wallet,
        "claimed_now": claimed_wei / WEI_PER_TOKEN,
        "balance": balance.token_wei / WEI_PER_TOKEN,
        "balance_wei": balance.token_wei,
    }
