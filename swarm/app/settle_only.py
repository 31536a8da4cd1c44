"""Why this module exists: credits can be claimed without running the peer: its table is on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chain.base import Chain, Epoch
from identity.names import nickname
from protocol.codec import BLOB_CAP, decode
from protocol.errors import ChainError
from protocol.ids import Address, PeerId
from protocol.messages import CreditTable
from rewards.ledger import credits_tree
from swarm.journal import Journal
from swarm.settling import Settler

WEI_PER_TOKEN = 10**18


async def claim_settled(
    chain: Chain, settler: Settler, journal: Journal, peer: PeerId, wallet: Address
) -> dict[str, Any]:
    """Claim everything settled for ``peer``; what came of it, in tokens.

    What is not unlocked yet stays for a later claim. Raises ``ChainError`` when the table behind the unlocked pay is
    not in the journal: then only the running peer can fetch it.
    """
    epoch = (await chain.epochs()).claimable
    claimed_wei = 0
    if epoch is not None:
        table = _paid_by(epoch, [decode(blob, CreditTable, cap=BLOB_CAP) for blob in journal.tables()])
        if table is None:
            raise ChainError(
                f"The credit table of round {epoch.round} is not on this machine.",
                "Your credits are safe on the chain.",
                "Start the peer once (`swarm run`): it fetches the table from the others and claims.",
            )
        claimed_wei = await settler.claim(peer, lambda claimable: _paid_by(claimable, [table]))
    balance = await chain.balance(wallet)
    return {
        "nickname": nickname(peer),
        "peer_id": peer,
        "address": wallet,
        "claimed_now": claimed_wei / WEI_PER_TOKEN,
        "balance": balance.token_wei / WEI_PER_TOKEN,
        "balance_wei": balance.token_wei,
    }


def _paid_by(epoch: Epoch, tables: Iterable[CreditTable]) -> CreditTable | None:
    """The table that ``epoch`` pays, among ``tables``."""
    for table in tables:
        if table.round == epoch.round and credits_tree(table).root == epoch.credits_root:
            return table
    return None
