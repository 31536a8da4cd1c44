"""Why this module exists: a contract refuses with a name; a person needs a sentence and a next step.

``ChainError.reason`` keeps the name. A test checks that every custom error of every artifact has its words here.
"""

from __future__ import annotations

from chain.abi import Refusal
from protocol.errors import ChainError

_NOTHING_LOST = "Nothing was changed on the chain and no credit is lost."
_RETRY_LATER = "The program tries again by itself."

WORDS: dict[str, tuple[str, str, str]] = {
    # registry
    "PeerOwnedByAnother": (
        "This peer id is registered to another wallet.",
        "This wallet cannot play or be paid for it.",
        "Use the wallet that registered it, or another swarm.pem.",
    ),
    "PeerAlreadyRegistered": ("This wallet registered this peer id before.", _NOTHING_LOST, "Nothing to do."),
    "NonceMismatch": ("The registration was signed for another nonce.", _NOTHING_LOST, "Sign it again."),
    "SignerTaken": (
        "The signing account already serves another peer.",
        "Two peers cannot share one signing key.",
        "Use another swarm.pem.",
    ),
    "ProofRejected": (
        "The signing key did not sign this registration.",
        _NOTHING_LOST,
        "Check that swarm.pem and the wallet belong to this peer, and that the contracts are the right ones.",
    ),
    "DelegationRejected": (
        "The RSA identity key did not sign this registration.",
        _NOTHING_LOST,
        "Check that swarm.pem belongs to this peer id.",
    ),
    "ModulusUnsupported": (
        "Only RSA identities of 2048 bits can be registered.",
        "This identity cannot play.",
        "Make a new swarm.pem, or use an RSA-2048 or secp256k1 one.",
    ),
    # membership
    "NotThePeersOwner": (
        "The peer is not registered to this wallet.",
        "Only its owner can enrol it.",
        "Register the peer first, or use the wallet that did.",
    ),
    "NotEnrolled": ("The peer is not a member of the next round.", _NOTHING_LOST, "Enrol it first."),
    "MemberNotAbsent": ("The member was seen recently and stays.", _NOTHING_LOST, "Nothing to do."),
    # clock
    "RoundNotCurrent": ("The round is over already.", _NOTHING_LOST, _RETRY_LATER),
    "RoundStillOpen": ("The round's deadline is not reached.", _NOTHING_LOST, _RETRY_LATER),
    "NoMembers": ("Nobody is enrolled for the next round.", "No round can open.", "Enrol a peer."),
    "NotTheLedger": ("Only the ledger contract may record results.", _NOTHING_LOST, "Nothing to do."),
    "SeedNotReady": ("The block that seeds the round is not mined yet.", _NOTHING_LOST, _RETRY_LATER),
    # ledger
    "RoundAlreadySettled": ("This round, or a later one, already has a result.", _NOTHING_LOST, _RETRY_LATER),
    "RoundNotOpened": ("This round is not open yet.", _NOTHING_LOST, _RETRY_LATER),
    "PreviousRootStale": (
        "The result was computed from other credits than the recorded ones.",
        "It cannot be recorded.",
        "The program recomputes it from the recorded ones.",
    ),
    "TotalDecreased": ("The result takes credits away.", "It cannot be recorded.", _RETRY_LATER),
    "EmissionExceeded": (
        "The result creates more credits than a round, or the whole run, may.",
        "It cannot be recorded.",
        "Compare the rewards in the configuration with the emission caps of the run's contracts.",
    ),
    "SignaturesUnordered": ("The signatures are not ordered by signing account.", _NOTHING_LOST, _RETRY_LATER),
    "NotAMember": ("A signature is not by a member of the round.", "The result is not recorded.", _RETRY_LATER),
    "MajorityMissing": (
        "Fewer members signed the result than a majority.",
        "The round is not recorded yet.",
        "The program waits for more signatures.",
    ),
    # pool
    "NothingToClaim": ("Everything up to this amount was already paid.", _NOTHING_LOST, "Nothing to do."),
    "ClaimProofRejected": (
        "The proof does not lead to the latest credits root.",
        "Your credits stay recorded; nothing was paid.",
        "Claim again: a newer round may have been recorded in between.",
    ),
    "PeerUnknown": ("The peer is not registered.", "Nobody can be paid for it.", "Register it first."),
    "PoolOverdrawn": (
        "The pool would pay more than was ever credited: the recorded credits do not add up.",
        "Nothing was paid.",
        "Compare the run's credit table with its contributions; a majority signed something false.",
    ),
    # deployment
    "ParameterOutOfRange": ("A parameter of the run is zero.", "Nothing was deployed.", "Correct the configuration."),
    "EmissionOutOfRange": ("An emission cap is zero or too large.", "Nothing was deployed.", "Correct the caps."),
    # the language and the library
    "Panic": ("The contract stopped on an impossible state.", _NOTHING_LOST, "Report this with the transaction."),
    "Error": ("The contract refused.", _NOTHING_LOST, "Read its message."),
}

_LIBRARY = ("A library check of the contract failed.", _NOTHING_LOST, "Report this if it happens again.")


def chain_error(refusal: Refusal) -> ChainError:
    """The error to raise for a contract's refusal; its arguments are appended to what happened."""
    what, so_what, next_step = WORDS.get(refusal.name, _LIBRARY)
    details = ", ".join(f"{name} {_shown(value)}" for name, value in refusal.arguments.items() if name)
    return ChainError(f"{what[:-1]} ({details})." if details else what, so_what, next_step, reason=refusal.name)


def _shown(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
