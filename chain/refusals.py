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
    "StakeMissing": (
        "The peer has less at stake than a member needs.",
        "It cannot play and earns nothing.",
        "Stake the run's minimum for it first.",
    ),
    "StillBarred": (
        "The peer was taken out of the run and may not come back yet.",
        "It earns nothing until then.",
        "The program enrols it again when the time is over.",
    ),
    "MemberInGoodStanding": ("There is no reason to take the member out.", _NOTHING_LOST, "Nothing to do."),
    "LineRejected": (
        "The proof does not lead from this line to the latest credits root.",
        _NOTHING_LOST,
        "A newer round may have been recorded in between; the program tries again.",
    ),
    "LineNotNewer": ("The peer's line as of this result is on record.", _NOTHING_LOST, "Nothing to do."),
    "PeerNotOffered": (
        "The peer was not offered to this wallet.",
        _NOTHING_LOST,
        "Ask its owner to offer it to your wallet's address.",
    ),
    "NotOfThisRun": ("Only another contract of the run may do this.", _NOTHING_LOST, "Nothing to do."),
    # clock
    "RoundNotCurrent": ("The round is over already.", _NOTHING_LOST, _RETRY_LATER),
    "RoundStillOpen": ("The round's deadline is not reached.", _NOTHING_LOST, _RETRY_LATER),
    "NoMembers": ("Nobody is enrolled for the next round.", "No round can open.", "Enrol a peer."),
    "SeedNotReady": ("The block that seeds the round is not mined yet.", _NOTHING_LOST, _RETRY_LATER),
    "PosterNotDrawn": ("It is not this peer's turn to post the result.", _NOTHING_LOST, _RETRY_LATER),
    "AttesterNotDrawn": ("A signature is by a member that was not drawn.", "The result is not recorded.", _RETRY_LATER),
    "QuorumMissing": (
        "Too few of the drawn members signed the result.",
        "The round is not recorded yet.",
        "The program waits for more signatures.",
    ),
    # results
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
        "Compare the rewards in the configuration with the run's emission cap and budget.",
    ),
    "SignaturesUnordered": ("The signatures are not ordered by signing account.", _NOTHING_LOST, _RETRY_LATER),
    "NotAMember": ("A signature is not by a member of the round.", "The result is not recorded.", _RETRY_LATER),
    "PeerNotAMember": ("The peer is no member of the round.", _NOTHING_LOST, "Enrol it for the next one."),
    "AlreadyIncluded": ("The peer put another contribution on record.", "It stays.", "Nothing to do."),
    "MajorityMissing": (
        "The members that signed have no more than half of the whole weight.",
        "The round is not recorded yet.",
        "The program waits for more signatures.",
    ),
    "RunEnded": ("The run is over.", "What was earned stays earned.", "Claim what is unlocked, and join another run."),
    # pay
    "EpochNotDue": ("Too few rounds were recorded since the last payout.", _NOTHING_LOST, _RETRY_LATER),
    "EpochUndecided": ("The payout before is not decided yet.", _NOTHING_LOST, _RETRY_LATER),
    "EpochNotOpen": ("There is no such payout, or it is in another state.", _NOTHING_LOST, _RETRY_LATER),
    "EpochNotClaimable": (
        "This pay is still locked.",
        "Your credits stay recorded.",
        "Claim again when it is unlocked.",
    ),
    "ResultNotOfEpoch": ("The result is not the one that is paid out.", _NOTHING_LOST, _RETRY_LATER),
    "TooEarly": ("It is too early for this.", _NOTHING_LOST, _RETRY_LATER),
    "TooLate": ("The time for this is over.", _NOTHING_LOST, "Nothing to do."),
    "NothingToClaim": ("Everything up to this amount was already paid.", _NOTHING_LOST, "Nothing to do."),
    "ClaimProofRejected": (
        "The proof does not lead to the credits root of this payout.",
        "Your credits stay recorded; nothing was paid.",
        "Claim again, with the credit table of the payout's round.",
    ),
    "PeerUnknown": ("The peer is not registered.", "Nobody can be paid for it.", "Register it first."),
    "EscrowOverdrawn": (
        "The escrow would pay more than was ever credited: the recorded credits do not add up.",
        "Nothing was paid.",
        "Compare the run's credit table with its contributions; a majority signed something false.",
    ),
    # stake
    "AmountOutOfRange": ("The amount is zero or too large.", _NOTHING_LOST, "Name another amount."),
    "StakeTooSmall": ("The peer has less at stake than was asked for.", _NOTHING_LOST, "Ask for less."),
    "StakeNotReady": (
        "Nothing leaves the stake, or it is still liable.",
        "It stays where it is.",
        "Withdraw it when the time is over.",
    ),
    "ReferenceUsed": ("This deposit or exit was made before.", _NOTHING_LOST, "Nothing to do."),
    "ERC20InsufficientBalance": (
        "The wallet has too few tokens.",
        _NOTHING_LOST,
        "Send tokens to the wallet, or name a smaller amount.",
    ),
    # offences
    "KindNotAccusable": ("Only contributions can be held against a peer.", _NOTHING_LOST, "Nothing to do."),
    "SameContent": ("Both records say the same.", _NOTHING_LOST, "Nothing to do."),
    "NotSignedByPeer": ("A signature is not of this peer.", _NOTHING_LOST, "Check both records."),
    "AlreadyProven": ("This was proven before.", _NOTHING_LOST, "Nothing to do."),
    # runs
    "RunExists": ("This wallet made a run with these rules before.", _NOTHING_LOST, "Change its name or seed."),
    "RunUnknown": ("There is no such run.", "Nothing could be looked up.", "Check creator and run id."),
    "ParameterOutOfRange": (
        "A rule of the run is out of range, or does not fit to the others.",
        "Nothing was created.",
        "Correct the configuration.",
    ),
    "RandomnessMissing": (
        "This chain gives contracts no hash of past blocks and no random number.",
        "No round could be drawn, so no run was created.",
        "Use another chain.",
    ),
    "NotTheCreator": ("Only the run's creator may do this.", _NOTHING_LOST, "Use the wallet that created it."),
    "AlreadyDone": ("This was done before.", _NOTHING_LOST, "Nothing to do."),
    "RunNotStopped": ("The run was not stopped.", _NOTHING_LOST, "Stop it first."),
    "InvalidInitialization": ("The contract was set up before.", _NOTHING_LOST, "Nothing to do."),
    "NotInitializing": ("The contract was set up before.", _NOTHING_LOST, "Nothing to do."),
    "FailedDeployment": ("The run's contracts could not be created.", "No run was created.", _RETRY_LATER),
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
