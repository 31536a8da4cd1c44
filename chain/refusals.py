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
    "PeerNotOffered": (
        "The peer was not offered to this wallet.",
        _NOTHING_LOST,
        "Ask its owner to offer it to this wallet's address.",
    ),
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
        "Only its owner can do this.",
        "Register the peer first, or use the wallet that did.",
    ),
    "NotEnrolled": ("The peer is not a member of the next round.", _NOTHING_LOST, "Enrol it first."),
    "MemberNotAbsent": ("The member is not absent, or the swarm has results.", _NOTHING_LOST, "Nothing to do."),
    "StakeMissing": (
        "The peer has less at stake than this run asks for.",
        "It cannot become a member.",
        "Stake at least the run's minimum, then enrol again.",
    ),
    "StillBarred": (
        "The peer was taken out and may not come back yet.",
        "It cannot become a member before that round is over.",
        "Wait, then enrol again.",
    ),
    "NotOfThisRun": ("Only another contract of this run may do this.", _NOTHING_LOST, "Nothing to do."),
    # clock
    "RoundNotCurrent": ("The round is over already.", _NOTHING_LOST, _RETRY_LATER),
    "RoundStillOpen": ("The round's deadline is not reached.", _NOTHING_LOST, _RETRY_LATER),
    "RoundNotOpened": ("This round is not open yet.", _NOTHING_LOST, _RETRY_LATER),
    "NoMembers": ("Nobody is enrolled for the next round.", "No round can open.", "Enrol a peer."),
    "SeedNotReady": ("The block that seeds the round is not mined yet.", _NOTHING_LOST, _RETRY_LATER),
    "PosterNotDrawn": ("The peer may not post this round's result yet.", _NOTHING_LOST, _RETRY_LATER),
    "AttesterNotDrawn": ("A member that was not drawn signed the result.", "It is not recorded.", _RETRY_LATER),
    "QuorumMissing": (
        "Too few of the drawn members signed the result.",
        "The round is not recorded yet.",
        "The program waits for more signatures; later, more members are drawn.",
    ),
    "MajorityMissing": (
        "Members of half the weight or less signed the result.",
        "The round is not recorded yet.",
        "The program waits for more signatures.",
    ),
    "SignaturesUnordered": ("The signatures are not ordered by signing account.", _NOTHING_LOST, _RETRY_LATER),
    "NotAMember": ("A signature is not by a member of the round.", "The result is not recorded.", _RETRY_LATER),
    # contributions
    "RoundAlreadySettled": ("This round, or a later one, already has a result.", _NOTHING_LOST, _RETRY_LATER),
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
    "RunEnded": ("The run is over.", "No new result is recorded; earned credits can be claimed.", "Join another run."),
    "PeerNotAMember": ("The peer is not a member of this round.", "Its work is not on record.", "Enrol it first."),
    "ContentMissing": ("No contribution was named.", _NOTHING_LOST, "Name the contribution's content id."),
    "AlreadyIncluded": ("The peer's contribution is on record already.", _NOTHING_LOST, "Nothing to do."),
    # settlement
    "EpochNotDue": ("There is nothing new to pay for yet.", _NOTHING_LOST, _RETRY_LATER),
    "EpochUndecided": ("The epoch before is not decided yet.", _NOTHING_LOST, _RETRY_LATER),
    "EpochNotOpen": ("There is no such epoch, or it is decided already.", _NOTHING_LOST, "Nothing to do."),
    "TooLate": ("The time for this is over.", "Nothing was changed on the chain.", "Nothing can be done any more."),
    "TooEarly": ("The time for this has not come.", _NOTHING_LOST, _RETRY_LATER),
    "ResultNotOfEpoch": (
        "The signed result is not the one that the epoch pays.",
        "The challenge is not answered by it.",
        "Sign the result with the epoch's round, root, table and total.",
    ),
    "EpochNotClaimable": (
        "The epoch is not paid yet, or does not stand.",
        "Your credits stay recorded; nothing was paid.",
        "The program claims again when it unlocks.",
    ),
    "NothingToClaim": ("Everything up to this amount was already paid.", _NOTHING_LOST, "Nothing to do."),
    "ClaimProofRejected": (
        "The proof does not lead to the epoch's credits root.",
        "Your credits stay recorded; nothing was paid.",
        "Claim again with the epoch's own table.",
    ),
    "PeerUnknown": ("The peer is not registered.", "Nobody can be paid for it.", "Register it first."),
    "EscrowOverdrawn": (
        "The escrow would pay more than this epoch credits.",
        "Nothing was paid.",
        "Claim from the newest epoch; if that fails too, a majority signed credits that do not add up.",
    ),
    "NotTheCreator": ("Only the wallet that created the run may do this.", _NOTHING_LOST, "Use that wallet."),
    "AlreadyDone": ("This was done before.", _NOTHING_LOST, "Nothing to do."),
    "RunNotStopped": (
        "The run goes on.",
        "Its budget stays in escrow.",
        "Stop the run first, from the wallet that created it.",
    ),
    # stake
    "AmountOutOfRange": ("The amount is zero or too large.", _NOTHING_LOST, "Choose another amount."),
    "StakeTooSmall": ("The peer has less at stake than that.", _NOTHING_LOST, "Ask for at most what is at stake."),
    "StakeNotReady": (
        "No stake can be withdrawn yet.",
        "It stays where it is, and liable, until then.",
        "Ask for it first, then wait until the unbonding time is over.",
    ),
    "ReferenceUsed": ("This was done before.", _NOTHING_LOST, "Nothing to do."),
    # reputation and equivocation
    "LineRejected": (
        "The proof does not lead to the credits root that counts here.",
        "Nothing was changed on the chain.",
        "Use the line and proof of the right table: the latest one, or to take a member out that of the last epoch.",
    ),
    "LineNotNewer": ("A line as new as this is kept already.", _NOTHING_LOST, "Nothing to do."),
    "MemberInGoodStanding": ("There is no reason to take this member out.", "It stays.", "Nothing to do."),
    "KindNotAccusable": ("Only contributions can be held against a peer.", "It keeps its stake.", "Nothing to do."),
    "SameContent": ("Both records say the same.", "The peer did nothing wrong.", "Nothing to do."),
    "NotSignedByPeer": (
        "A record was not signed by the account that signed for this peer in that round.",
        "It proves nothing against it.",
        "Check the records' signatures, their round and the run id.",
    ),
    "AlreadyProven": ("This was proven before.", "The stake was taken then.", "Nothing to do."),
    # disputes
    "DisputePending": (
        "A dispute about the peer's work is not decided yet.",
        "Its pay and its stake stay where they are until then.",
        "The program tries again when it is decided.",
    ),
    "RoundTooOld": (
        "The round of the contribution is over for too long to ask for its data.",
        "Nothing was changed on the chain; the bond stays in the wallet.",
        "Data is asked for in the contribution's round and in the next one.",
    ),
    "NoSuchPiece": (
        "The contribution has no such piece, or does not say where it is found.",
        "Nothing was changed on the chain; the bond stays in the wallet.",
        "Ask for a chunk that the run's first state has, or a rollout that was scored.",
    ),
    "RequestExists": ("This piece was asked for before.", _NOTHING_LOST, "Nothing to do."),
    "TooManyRequests": (
        "As much as the peer can be asked for at a time is asked for already.",
        "Nothing was changed on the chain; the bond stays in the wallet.",
        "The program asks again when one of these requests is over.",
    ),
    "RequestNotOpen": ("There is no such request, or it is over.", _NOTHING_LOST, "Nothing to do."),
    "PieceRejected": (
        "These bytes are not the piece that was asked for.",
        "The request stays open; nobody lost anything yet.",
        "Show the piece that the contribution commits to, before the deadline.",
    ),
    "ContributionMalformed": (
        "The record that was shown is no contribution.",
        "Nothing was changed on the chain; the bond stays in the wallet.",
        "Show the canonical bytes of the signed record.",
    ),
    "DisputeExists": ("This wallet has a game about this.", _NOTHING_LOST, "Nothing to do."),
    "DisputeUnknown": ("There is no such game.", _NOTHING_LOST, "Check the game's id and the run."),
    "DisputeOver": ("The game is over.", "Nothing was changed by this move.", "Nothing to do."),
    "WrongMove": (
        "The game waits for another kind of move.",
        "The game stands as before.",
        "The program reads the game again and makes the move that it waits for.",
    ),
    "NotYourTurn": (
        "The other side is to move, or this wallet is on neither side.",
        "The game stands as before.",
        "Wait for the other side; use the wallet that opened the game, or that owns the accused peer.",
    ),
    "StateStale": (
        "The game stands otherwise by now.",
        "The game stands as before this move.",
        "The program reads the game again and makes another move.",
    ),
    "RoundPaid": (
        "The round's work is paid already, so that it cannot be held against its peer any more.",
        "Nothing was changed on the chain; the bond stays in the wallet.",
        "Open disputes before the epoch that pays the round unlocks.",
    ),
    "BadOpening": (
        "A piece that was shown is not part of what both sides agreed on.",
        "The game stands as before; nothing is won or lost by this move.",
        "Make the move again from the own trace, before the deadline.",
    ),
    "Unfit": (
        "A number or list of the move has another size than the program says.",
        "The game stands as before; nothing is won or lost by this move.",
        "Make the move again from the own trace, before the deadline.",
    ),
    "NothingShown": (
        "The result is what was claimed.",
        "The game stands as before; nothing is won or lost by this move.",
        "Search for a difference inside of the trace instead.",
    ),
    "SearchBegun": (
        "Results are compared before the search begins.",
        "The game stands as before; nothing is won or lost by this move.",
        "Go on with the search.",
    ),
    "NotANumber": ("The arithmetic has no result for these numbers.", "Whoever claims one is wrong.", "Nothing to do."),
    "MalformedLeaf": (
        "The pieces do not have the form that this kind of computation asks for.",
        "The game stands as before; nothing is won or lost by this move.",
        "Make the move again from the own trace, before the deadline.",
    ),
    "UnknownKind": (
        "No element of this kind can be computed.",
        "The game stands as before; nothing is won or lost by this move.",
        "Show the element where it comes from.",
    ),
    # factory
    "RunExists": ("This wallet has a run with this id.", "Nothing was created or paid.", "Use the run that is there."),
    "RunUnknown": ("The factory knows no such run.", "Nothing was changed.", "Check the creator and the run's id."),
    "ParameterOutOfRange": (
        "A rule of the run is zero, too large, or does not fit to the others.",
        "Nothing was created or paid.",
        "Correct the configuration.",
    ),
    "RandomnessMissing": (
        "Contracts on this chain see no hash of past blocks and no random number.",
        "Nobody could be drawn fairly, so nothing was created.",
        "Use another chain.",
    ),
    # token
    "ERC20InsufficientBalance": (
        "The wallet has fewer tokens than this needs.",
        _NOTHING_LOST,
        "Get tokens first: earn them, ask the host's faucet, or buy some.",
    ),
    "ERC20InsufficientAllowance": ("The contract may not take that many tokens.", _NOTHING_LOST, "Approve them first."),
    "ERC2612ExpiredSignature": ("The permit has expired.", _NOTHING_LOST, "Sign it again."),
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
