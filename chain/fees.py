"""Why this module exists: what a transaction offers must get it mined, and never more than its owner agreed to.

On chains with a base fee (EIP-1559) the offer is twice the next block's base fee and a tip that recent blocks took;
elsewhere it is the endpoint's gas price. A stuck transaction is offered again at least an eighth higher: nodes refuse a
replacement that offers less.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from chain.answers import field, quantity
from protocol.errors import ChainError

GWEI = 10**9
MIN_TIP_WEI = 1_000_000
HISTORY_BLOCKS = 5
HISTORY_PERCENTILE = 50
RAISE_NUMERATOR, RAISE_DENOMINATOR = 9, 8
METHOD_NOT_FOUND = -32601

Request = Callable[..., Awaitable[Any]]


class FeePolicy(msgspec.Struct, frozen=True):
    """The most that this wallet offers per gas, in wei: ``max_fee_wei`` in all, ``max_tip_wei`` of it as a tip."""

    max_fee_wei: int = 500 * GWEI
    max_tip_wei: int = 50 * GWEI


class Offer(msgspec.Struct, frozen=True):
    """Wei per gas. ``tip_wei`` is ``None`` on a chain without base fees, where ``fee_wei`` is the gas price."""

    fee_wei: int
    tip_wei: int | None

    def fields(self) -> dict[str, int]:
        """As a transaction writes it."""
        if self.tip_wei is None:
            return {"gasPrice": self.fee_wei}
        return {"type": 2, "maxFeePerGas": self.fee_wei, "maxPriorityFeePerGas": self.tip_wei}


async def offer(request: Request, policy: FeePolicy) -> Offer:
    """What to offer now. Raises ``ChainError('FeeTooHigh')`` when even the next block alone costs more than allowed."""
    base_fee_wei, tip_wei = await _market(request)
    if base_fee_wei is None:
        price_wei = quantity(await request("eth_gasPrice"))
        if price_wei > policy.max_fee_wei:
            raise fee_too_high(price_wei, policy)
        return Offer(min(policy.max_fee_wei, price_wei * 11 // 10), None)
    tip_wei = _tip_wei(policy, base_fee_wei, tip_wei)
    if base_fee_wei + tip_wei > policy.max_fee_wei:
        raise fee_too_high(base_fee_wei + tip_wei, policy)
    return Offer(min(policy.max_fee_wei, 2 * base_fee_wei + tip_wei), tip_wei)


async def price_wei(request: Request, policy: FeePolicy) -> int:
    """What a unit of gas takes in the next block: base fee and tip, or the gas price; whether or not it is allowed.

    The one price that people are told. ``offer`` is above it, so that a transaction still gets in when the base fee has
    doubled; a block takes no more than its own base fee and the tip, whatever was offered."""
    base_fee_wei, tip_wei = await _market(request)
    if base_fee_wei is None:
        return quantity(await request("eth_gasPrice"))
    return base_fee_wei + _tip_wei(policy, base_fee_wei, tip_wei)


def raised(former: Offer, market: Offer, policy: FeePolicy) -> Offer | None:
    """The offer that replaces ``former``: an eighth higher, or the market's when that is more; ``None`` at the cap.

    A former offer keeps its kind: a replacement of the same nonce must be comparable with it.
    """
    fee_wei = max(_eighth_more(former.fee_wei), market.fee_wei)
    if former.tip_wei is None:
        return Offer(fee_wei, None) if fee_wei <= policy.max_fee_wei else None
    tip_wei = max(_eighth_more(former.tip_wei), market.tip_wei or 0)
    least_fee_wei, least_tip_wei = _eighth_more(former.fee_wei), _eighth_more(former.tip_wei)
    if least_fee_wei > policy.max_fee_wei:
        return None
    # The tip's cap gives way to the rule of an eighth: else a stuck transaction could not be replaced at all.
    tip_wei = max(least_tip_wei, min(tip_wei, policy.max_tip_wei))
    fee_wei = min(fee_wei, policy.max_fee_wei)
    return Offer(fee_wei, tip_wei) if tip_wei <= fee_wei else None


def fee_too_high(needed_wei: int, policy: FeePolicy) -> ChainError:
    """For a market above the cap: the intent is held until it falls."""
    return ChainError(
        f"A transaction costs {needed_wei / GWEI:.3g} gwei per gas now; this peer offers at most "
        f"{policy.max_fee_wei / GWEI:.3g}.",
        "Nothing was sent; what is due is kept and tried again.",
        "Wait until the chain is cheaper, or raise chain.max_fee_gwei.",
        reason="FeeTooHigh",
    )


async def _market(request: Request) -> tuple[int | None, int]:
    """The next block's base fee (``None``: this chain has none) and recent blocks' median tip (0: nobody paid one)."""
    try:
        history = await request("eth_feeHistory", hex(HISTORY_BLOCKS), "latest", [HISTORY_PERCENTILE])
    except ChainError as refused:
        if refused.reason != f"rpc {METHOD_NOT_FOUND}":
            raise
        block = await request("eth_getBlockByNumber", "latest", False)
        fee = block.get("baseFeePerGas") if isinstance(block, dict) else None
        return (None if fee is None else quantity(fee)), 0
    fees = field(history, "baseFeePerGas")
    if not isinstance(fees, list) or not fees or all(not quantity(fee) for fee in fees):
        return None, 0
    rewards = history.get("reward") or []
    paid = [tip for row in rewards if isinstance(row, list) and row and (tip := quantity(row[0]))]
    return quantity(fees[-1]), int(statistics.median(paid)) if paid else 0


def _tip_wei(policy: FeePolicy, base_fee_wei: int, usual_wei: int) -> int:
    """The usual tip, or a tenth of the base fee where nobody pays one, within the policy."""
    return min(policy.max_tip_wei, max(MIN_TIP_WEI, usual_wei or base_fee_wei // 10))


def _eighth_more(wei: int) -> int:
    return -(-wei * RAISE_NUMERATOR // RAISE_DENOMINATOR)
