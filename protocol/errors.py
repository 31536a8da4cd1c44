"""Why this module exists: every failure a person can meet is one leaf of one tree.

    SwarmError                      exit 1  something we did not foresee
    |- ConfigError                  exit 2  wrong option, file or environment variable
    |  `- NotBuiltYet               exit 2  the feature is named but not there in this version
    |- IdentityError                exit 3  swarm.pem or the wallet cannot be used
    |- NetworkError                 exit 4  peers, bootnode or blobs out of reach
    |- ChainError                   exit 5  the chain refused, or is another chain
    |  |- ChainUnreachable          exit 4  no RPC endpoint answers
    |  `- BondMissing               exit 5  an accusation waits for the money for its bond
    |- VerificationError            exit 6  a check of somebody's work failed
    |- NotReproducible              exit 2  a model needs an operator without exact arithmetic
    |- NumericsError                exit 1  a computation ended in NaN or infinity
    |- OutOfMemory                  exit 1  this machine's memory does not hold what is to be computed
    |- StepFailed                   exit 1  a process that takes training steps ended, hung or failed
    `- BadRecord                    (never fatal) bytes from the network that break a rule

Each error says what happened, what it means for the user's credits, and what to do next. ``str(error)`` is those
three sentences; the parts stay apart so that the dashboard and ``--json`` can show them in their own places.
"""

from __future__ import annotations

from typing import ClassVar


class SwarmError(Exception):
    """A failure in words. ``what`` happened, ``so_what`` for the user's credits, ``next_step`` to take."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, so_what: str = "", next_step: str = "") -> None:
        self.what = what
        self.so_what = so_what
        self.next_step = next_step
        super().__init__(" ".join(part for part in (what, so_what, next_step) if part))


class ConfigError(SwarmError):
    """An option, configuration file or environment variable cannot be used."""

    exit_code = 2


class NotBuiltYet(ConfigError):
    """The user asked for something that this version names but does not have."""


class IdentityError(SwarmError):
    """The identity file or the wallet is missing, damaged, readable by others, locked, or owned by somebody else."""

    exit_code = 3


class NetworkError(SwarmError):
    """A peer, the bootnode or a blob provider cannot be reached."""

    exit_code = 4


class ChainError(SwarmError):
    """The chain answered, and refused; ``reason`` is the contract's own error name where there is one."""

    exit_code = 5

    def __init__(self, what: str, so_what: str = "", next_step: str = "", *, reason: str = "") -> None:
        super().__init__(what, so_what, next_step)
        self.reason = reason


class ChainUnreachable(ChainError):
    """No RPC endpoint answers; nothing was refused, so everything pending is kept and sent again."""

    exit_code = 4


class BondMissing(ChainError):
    """The wallet does not hold the bond that a dispute takes; the accusation is kept and waits for it."""


class VerificationError(SwarmError):
    """A check of a contribution, ledger or artifact did not come out as claimed."""

    exit_code = 6


class NotReproducible(ConfigError):
    """An operator (or a way to use it) that exact arithmetic does not specify; ``operator`` is its name."""

    def __init__(self, operator: str, why: str = "exact arithmetic does not specify it") -> None:
        super().__init__(
            f"{operator} is not reproducible: {why}.",
            "Nothing was computed with it, and no credits are touched.",
            "Use a model whose operators `swarm doctor --numerics` lists, or the native engine.",
        )
        self.operator = operator


class NumericsError(SwarmError):
    """NaN or infinity where a number must be: ``operator`` produced it, in ``tensor`` (a name or a shape)."""

    def __init__(self, operator: str, tensor: str) -> None:
        super().__init__(
            f"{operator} gave NaN or infinity in {tensor}.",
            "The step was given up before anything was signed; credits already settled are not touched.",
            "Lower the learning rate, or start again from an earlier state; if it stays, report it with the log.",
        )
        self.operator = operator
        self.tensor = tensor


class OutOfMemory(SwarmError):
    """Memory ran out. While sampling less is computed at once; a training step that does not fit is skipped with its
    round. It ends a peer only where nothing is left to do without."""


class StepFailed(SwarmError):
    """A process that took part in a training step ended, hung or failed; the state is the one before. A running peer
    skips the round and tries again in the next."""


class BadRecord(SwarmError):
    """Bytes from the network that break a rule. Callers drop the record, count ``reason``, and go on.

    ``reason`` is one word of a fixed vocabulary, used in counters: ``oversized``, ``malformed``, ``unsigned``,
    ``wrong_signature``, ``wrong_owner``, ``wrong_round``, ``wrong_version``, ``wrong_run``, ``hash_mismatch``,
    ``stalled``, ``unavailable``, ``false_scores``, ``wrong_rollouts``, ``wrong_state``, ``wrong_engine``,
    ``not_a_member``, ``not_drawn`` (a receipt or verdict of somebody whose turn it is not), ``equivocation`` (two
    different records where an honest peer publishes one), ``former_signer`` (an account that signs for the peer no
    more, or not yet).
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what, "The record was dropped; your own credits are not touched.")
        self.reason = reason
