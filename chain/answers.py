"""Why this module exists: an endpoint may say anything; only what has the shape of an answer is believed to be one.

Shapes of the JSON-RPC results that this program reads, by method. Pure. Whether an answer is true is another matter:
signatures, block hashes and a second endpoint decide that.
"""

from __future__ import annotations

import re
from typing import Any

from protocol.errors import ChainError

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")

QUANTITIES = frozenset(
    {
        "eth_blockNumber",
        "eth_chainId",
        "eth_estimateGas",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_maxPriorityFeePerGas",
    }
)
DATA = frozenset({"eth_call", "eth_getCode"})


def makes_sense(method: str, params: list[Any], result: Any) -> bool:
    """Whether ``result`` can be the answer to this call. True for methods that are not known here."""
    if method in QUANTITIES:
        return isinstance(result, str) and bool(_QUANTITY.fullmatch(result))
    if method in DATA:
        return isinstance(result, str) and bool(_DATA.fullmatch(result))
    if method == "eth_sendRawTransaction":
        return isinstance(result, str) and bool(_HASH.fullmatch(result))
    if method == "eth_getTransactionReceipt":
        return result is None or _is_receipt(result, params)
    if method in ("eth_getBlockByNumber", "eth_getBlockByHash"):
        return result is None or isinstance(result, dict)
    if method == "eth_feeHistory":
        return isinstance(result, dict)
    return True


def quantity(value: Any) -> int:
    """A JSON-RPC number (``0x`` and hex digits). Raises ``ChainError('BadAnswer')`` for anything else."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise bad_answer(value)


def field(value: Any, name: str) -> Any:
    """A field of a JSON-RPC object. Raises ``ChainError('BadAnswer')`` when there is none."""
    if isinstance(value, dict) and name in value:
        return value[name]
    raise bad_answer(value)


def bad_answer(value: Any) -> ChainError:
    """For an endpoint that speaks JSON-RPC but not Ethereum."""
    return ChainError(
        f"The chain's endpoint gave a senseless answer: {str(value)[:80]!r}.",
        "Nothing was changed; everything pending is kept.",
        "Use another endpoint with --rpc.",
        reason="BadAnswer",
    )


def _is_receipt(result: Any, params: list[Any]) -> bool:
    """A receipt of the transaction that was asked for, mined in some block."""
    if not isinstance(result, dict):
        return False
    asked = str(params[0]).lower() if params else ""
    return str(result.get("transactionHash", asked)).lower() == asked and all(
        isinstance(result.get(name), str) and bool(_QUANTITY.fullmatch(result[name]))
        for name in ("blockNumber", "gasUsed", "status")
    )
