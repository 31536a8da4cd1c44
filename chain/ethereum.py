"""Why this module exists: importing the Ethereum libraries would let a stranger crash the process.

``py_ecc``, which eth-account and web3 import, raises Python's recursion limit to 100,000. On Python 3.11 the parsers of
``json`` and ``msgspec`` then follow nested brackets until the C stack ends: some hundred kilobytes of ``[`` from the
network end the process with a segmentation fault instead of a ``RecursionError``. Nothing here needs deep recursion.
Whoever uses eth-account, eth-keyfile or web3 imports this module, before or after them.
"""

from __future__ import annotations

import sys

import py_ecc  # noqa: F401  (it is imported once per process: after this line nothing raises the limit again)
from eth_account import Account
from eth_account.signers.local import LocalAccount

RECURSION_LIMIT = 1000
"""Python's own default."""

sys.setrecursionlimit(RECURSION_LIMIT)

__all__ = ["RECURSION_LIMIT", "Account", "LocalAccount"]
