"""Why this module exists: a peer is paid only when the chain knows which wallet owns it.

Registering binds peer id, signing account and wallet, with signatures that prove possession of both keys; staking puts
up the run's deposit; enrolling makes the peer a member of the run from the next round on. All may be asked for at every
start: what is already so costs no transaction.
"""

from __future__ import annotations

import msgspec

from chain.base import Chain, Enrol, PeerRecord, Receipt, Refresh, Stake
from identity.signer import Signer
from protocol.errors import ChainError, ChainUnreachable, IdentityError


class Registration(msgspec.Struct, frozen=True):
    """How it ended. Receipts of what was done now; they have an empty transaction when everything was in place."""

    record: PeerRecord
    registered: Receipt
    staked: Receipt
    enrolled: Receipt


_NOTHING = Receipt(transaction="", gas=0, block=0)

MAX_DEPOSITS = 1000
"""Deposits that a peer makes in a run at most; each loss of stake asks for one more."""


async def register_and_enrol(chain: Chain, signer: Signer, min_stake_micro: int = 0) -> Registration:
    """Make ``signer``'s peer registered to its wallet, staked, and a member of the run; safe to repeat, also from two
    processes. ``min_stake_micro``: the run's smallest deposit; what is missing of it is put up.

    Raises ``IdentityError`` when another wallet owns the peer id or the key of its signing account is not here,
    ``ChainError`` when the chain refuses otherwise, ``ChainUnreachable``.
    """
    registered = _NOTHING
    record = await chain.peer(signer.peer)
    if record is None:
        try:
            registered = await chain.send(signer.registration(chain.contracts))
        except ChainUnreachable:
            raise
        except ChainError:
            if await chain.peer(signer.peer) is None:
                raise
            # Somebody, perhaps this peer's other process, registered it in between: judged below like any entry.
        record = await chain.peer(signer.peer)
        if record is None:
            raise ChainError(
                "The registration was mined, but the registry does not show this peer.",
                "Nothing can be credited to it yet.",
                "The chain node may have lost its last blocks; start again.",
            )
    _check_owner(record, signer)
    staked, record = await top_up_stake(chain, record, min_stake_micro)
    enrolled = _NOTHING
    if record.enrolled and signer.num_keys > 1:
        await chain.send(Refresh(signer.peer))  # the run knows the account of the last rotation, too
    if not record.enrolled:
        enrolled = await chain.send(Enrol(signer.peer))
        record = await chain.peer(signer.peer) or record
    return Registration(record=record, registered=registered, staked=staked, enrolled=enrolled)


async def top_up_stake(chain: Chain, record: PeerRecord, min_stake_micro: int) -> tuple[Receipt, PeerRecord]:
    """Deposit what a peer's stake lacks of ``min_stake_micro``; the receipt and the peer's record after it.

    Deposits are numbered from 0: one that an earlier process made and that does not show yet is not made again.
    Raises ``ChainError`` when the wallet cannot pay for it.
    """
    receipt = _NOTHING
    for number in range(MAX_DEPOSITS):
        missing = min_stake_micro - record.stake_micro
        if missing <= 0 or receipt.transaction:
            break
        receipt = await chain.send(Stake(record.peer, missing, number))
        record = await chain.peer(record.peer) or record
    return receipt, record


def _check_owner(record: PeerRecord, signer: Signer) -> None:
    if record.owner.lower() != signer.wallet.lower():
        raise IdentityError(
            f"This peer ({signer.peer}) is registered to the wallet {record.owner}; your wallet is {signer.wallet}.",
            "Everything this peer earns would be paid to the other wallet.",
            f"Put the wallet.json of {record.owner} beside swarm.pem, or use another swarm.pem with this wallet.",
        )
    signer.act_as(record.signer)
