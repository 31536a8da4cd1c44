// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature} from "./RunTypes.sol";
import {Settlement} from "./Settlement.sol";
import {StakeVault} from "./StakeVault.sol";

/// @title Two contributions of one peer for one round
/// @notice Whoever shows two different contributions of one round, both signed for the same peer, has its whole stake taken
/// and the peer ejected. What counts are signatures of the account that signed for the peer in that round, until the round is
/// paid: a rotation washes nothing off, and whoever got hold of a former account cannot use it for later rounds.
/// @dev The signed record names the run id, and the registry's domain binds it to the chain. **Known limits:** a run id is
/// unique per creator only, so nobody should take part in two runs with the same id; and who watches pending
/// transactions can report first in the finder's place.
contract Equivocation is Initializable {
    bytes32 private constant CONTRIBUTION = keccak256("contribution");

    /// @notice Where signing accounts are looked up.
    PeerRegistry public immutable REGISTRY;
    /// @notice The run whose records are judged.
    bytes32 public RUN_ID;
    /// @notice The contract that takes the peer out.
    RoundClock public CLOCK;
    /// @notice The contract that holds the stake.
    StakeVault public VAULT;
    /// @notice The contract that pays.
    Settlement public SETTLEMENT;
    /// @notice For how many rounds the peer may not come back.
    uint64 public BARRED_ROUNDS;

    mapping(bytes32 peerKey => mapping(uint64 round => bool)) private _proven;

    /// @notice The peer signed two contributions for `round`.
    event EquivocationProven(
        bytes32 indexed peerKey,
        uint64 indexed round,
        address indexed reporter,
        bytes32 contentA,
        bytes32 contentB,
        uint256 slashedWei
    );

    /// @notice Only contributions can be held against a peer.
    error KindNotAccusable();
    /// @notice Both records say the same.
    error SameContent();
    /// @notice A signature is not of the account that signed for this peer in that round.
    error NotSignedByPeer(bytes32 peerKey, address signer);
    /// @notice This was proven before.
    error AlreadyProven(bytes32 peerKey, uint64 round);
    /// @notice The round's work is paid, or can be: it is too late.
    error RoundPaid(uint64 round, uint64 paidRound);

    constructor(PeerRegistry registry) {
        REGISTRY = registry;
        _disableInitializers();
    }

    /// @notice Begin. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules, bytes32 runId) external initializer {
        RUN_ID = runId;
        CLOCK = RoundClock(run.clock);
        VAULT = StakeVault(run.vault);
        SETTLEMENT = Settlement(run.settlement);
        BARRED_ROUNDS = rules.barredRounds;
    }

    /// @notice Show that the peer signed both contents as its contribution to `round`. Anybody may, until an epoch of a later
    /// round is paid; the reporter is the caller.
    /// @param kind Kind of the records, always "contribution".
    function prove(
        bytes32 peerKey,
        string calldata kind,
        uint64 round,
        bytes32 contentA,
        Signature calldata signatureA,
        bytes32 contentB,
        Signature calldata signatureB
    ) external {
        if (keccak256(bytes(kind)) != CONTRIBUTION) revert KindNotAccusable();
        if (contentA == contentB) revert SameContent();
        if (_proven[peerKey][round]) revert AlreadyProven(peerKey, round);
        uint64 paidRound = SETTLEMENT.paidRound();
        if (round < paidRound) revert RoundPaid(round, paidRound);
        _requireSigned(peerKey, round, REGISTRY.recordDigest(RUN_ID, kind, round, contentA), signatureA);
        _requireSigned(peerKey, round, REGISTRY.recordDigest(RUN_ID, kind, round, contentB), signatureB);
        _proven[peerKey][round] = true;
        uint256 slashedWei = VAULT.slash(peerKey, type(uint256).max, msg.sender);
        emit EquivocationProven(peerKey, round, msg.sender, contentA, contentB, slashedWei);
        CLOCK.eject(peerKey, CLOCK.round() + BARRED_ROUNDS);
    }

    /// @notice Whether it was proven that the peer signed two contributions for `round`.
    function isProven(bytes32 peerKey, uint64 round) external view returns (bool) {
        return _proven[peerKey][round];
    }

    function _requireSigned(bytes32 peerKey, uint64 round, bytes32 digest, Signature calldata signature) private view {
        address signer = ECDSA.recover(digest, signature.r, signature.vs);
        bytes32 found = REGISTRY.peerKeyOf(signer);
        bool isSeat = found != 0 && found == peerKey && CLOCK.weightOfSigner(signer, round) != 0;
        if (!isSeat) revert NotSignedByPeer(peerKey, signer);
    }
}
