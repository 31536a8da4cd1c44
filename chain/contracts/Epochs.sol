// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Contributions} from "./Contributions.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature, WEI_PER_MICRO} from "./RunTypes.sol";
import {StakeVault} from "./StakeVault.sol";

/// @title Which credits stand
/// @notice Every few rounds anybody opens an epoch with the latest credits root. Who finds it wrong challenges it with a
/// bond: it then stands only if members of more than half of all weight sign its result; otherwise the run goes back to
/// the last final epoch.
/// @dev One epoch is undecided at a time. Bonds lie in the vault, so that the escrow's balance is escrow alone.
/// **Known limits:** a majority of weight can sign something false. A challenge costs the members gas even when it fails;
/// its bond is burned then. Where members of half the weight are gone, no challenge can be answered: a swarm gets rid of
/// them by `RoundClock.prune`, in rounds without results.
abstract contract Epochs is Initializable {
    using SafeCast for uint256;

    /// @notice Where an epoch is. Pending: may be challenged. Final: stands, and is paid from its unlocking on.
    enum EpochState {
        Pending,
        Challenged,
        Final,
        Void
    }

    /// @notice An epoch, as of now.
    struct EpochView {
        uint64 round;
        bytes32 creditsRoot;
        uint256 totalMicro;
        uint64 openedAt;
        uint64 unlocksAt;
        EpochState state;
        bytes32 dataHash;
        address challenger;
        uint64 answerBy;
    }

    /// @dev Three slots, of which a claim reads two. `reserveMicro`: budget minus total, what claims leave untouched.
    struct Epoch {
        bytes32 creditsRoot;
        uint64 reserveMicro;
        uint64 totalMicro;
        uint40 round;
        uint40 openedAt;
        uint40 unlocksAt;
        EpochState state;
        bytes32 dataHash;
    }

    struct Challenge {
        address challenger;
        uint64 answerBy;
    }

    /// @dev What one sender has shown of an answer: signatures up to `last`, in ascending order.
    struct Progress {
        address last;
        uint96 weight;
    }

    /// @dev Two slots. `epochsFinal`: index of the last final epoch plus one, as far as it was looked at.
    struct Run {
        uint64 budgetMicro;
        uint64 bondMicro;
        uint40 endsAt;
        uint32 epochsFinal;
        bool reclaimed;
        uint40 epochRounds;
        uint40 roundS;
        uint40 challengeS;
        uint40 disputeS;
        uint40 answerS;
    }

    /// @notice Where the credits root comes from.
    Contributions public CONTRIBUTIONS;
    /// @notice Where members' weights come from.
    RoundClock public CLOCK;
    /// @notice Where bonds lie.
    StakeVault public VAULT;
    Run internal _run;
    uint256 internal _numEpochs;
    mapping(uint256 epoch => Epoch) internal _epochs;
    mapping(uint256 epoch => Challenge) private _challenges;
    mapping(uint256 epoch => mapping(address sender => Progress)) private _progress;

    /// @notice The credits after `round` will be paid unless they are challenged until `challengeableUntil`.
    event EpochOpened(
        uint256 indexed epoch,
        uint64 indexed round,
        bytes32 creditsRoot,
        bytes32 dataHash,
        uint256 totalMicro,
        uint64 challengeableUntil,
        uint64 unlocksAt
    );
    /// @notice Members of more than half of all weight must sign the epoch's result until `answerBy`.
    event EpochChallenged(uint256 indexed epoch, address indexed challenger, uint64 answerBy);
    /// @notice Signatures of this weight are there by now, out of `needed`.
    event EpochAnswered(uint256 indexed epoch, address indexed sender, uint256 weight, uint256 needed);
    /// @notice The challenge failed: the epoch stands.
    event EpochAffirmed(uint256 indexed epoch, uint64 unlocksAt);
    /// @notice The challenge went unanswered: the run goes back to `toRound`.
    event EpochVoided(uint256 indexed epoch, uint64 toRound);
    /// @notice The creator ends the run.
    event RunStopped(uint64 endsAt);

    /// @notice There is no result after the last final epoch, or the rounds up to `dueRound` are not over.
    error EpochNotDue(uint64 settledRound, uint64 dueRound);
    /// @notice The epoch before is not decided yet.
    error EpochUndecided(uint256 epoch);
    /// @notice There is no such epoch, or it is not in the state that this needs.
    error EpochNotOpen(uint256 epoch);
    /// @notice The time to challenge or to answer is over.
    error TooLate(uint64 until);
    /// @notice The time to challenge, to answer or to wait is not over.
    error TooEarly(uint64 until);
    /// @notice The result is not the one that the epoch was opened with.
    error ResultNotOfEpoch(uint256 epoch);
    /// @notice Signatures must be ordered by the signing account, each account once.
    error SignaturesUnordered(address signer);

    /// @notice Open the next epoch with the latest recorded result. Anybody may, when there is a new one, no epoch is undecided,
    /// and the run's epoch rounds are over since the last final epoch (or the run has ended).
    /// @dev Rounds without a result count: members who cannot build on a false result must be able to get rid of it.
    function openEpoch() external returns (uint256 epoch) {
        Run storage run = _run;
        epoch = _numEpochs;
        uint64 lastRound = 0;
        if (epoch != 0) {
            EpochState state = _stateOf(_epochs[epoch - 1]);
            if (state == EpochState.Pending || state == EpochState.Challenged) revert EpochUndecided(epoch - 1);
            if (state == EpochState.Final) run.epochsFinal = uint32(epoch);
            if (run.epochsFinal != 0) lastRound = _epochs[run.epochsFinal - 1].round;
        }
        uint64 settledRound = CONTRIBUTIONS.settledRound();
        if (settledRound <= lastRound) revert EpochNotDue(settledRound, lastRound + 1);
        uint64 dueRound = lastRound + run.epochRounds;
        if (CLOCK.round() <= dueRound && !_hasEnded(run)) revert EpochNotDue(settledRound, dueRound);

        uint256 totalMicro = CONTRIBUTIONS.totalMicroCredits();
        uint40 challengeableUntil = uint40(block.timestamp) + run.challengeS;
        Epoch memory opened = Epoch({
            creditsRoot: CONTRIBUTIONS.creditsRoot(),
            reserveMicro: run.budgetMicro - uint64(totalMicro),
            totalMicro: uint64(totalMicro),
            round: uint40(settledRound),
            openedAt: uint40(block.timestamp),
            unlocksAt: challengeableUntil + run.disputeS,
            state: EpochState.Pending,
            dataHash: CONTRIBUTIONS.dataHash()
        });
        _epochs[epoch] = opened;
        _numEpochs = epoch + 1;
        emit EpochOpened(
            epoch, settledRound, opened.creditsRoot, opened.dataHash, totalMicro, challengeableUntil, opened.unlocksAt
        );
    }

    /// @notice Object to an epoch, with the run's bond, which the caller approved to the vault. Anybody may, once per epoch.
    function challenge(uint256 epoch) external {
        Epoch storage entry = _undecided(epoch, EpochState.Pending);
        uint64 until = uint64(entry.openedAt) + _run.challengeS;
        if (block.timestamp >= until) revert TooLate(until);
        uint64 answerBy = uint64(block.timestamp) + _run.answerS;
        entry.state = EpochState.Challenged;
        entry.unlocksAt += _run.answerS;
        _challenges[epoch] = Challenge(msg.sender, answerBy);
        emit EpochChallenged(epoch, msg.sender, answerBy);
        VAULT.holdBond(msg.sender, _run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice Answer a challenge with members' signatures over the epoch's result. When signatures of more than half of all
    /// weight in the result's round are there, the epoch stands and the bond is burned.
    /// @param signatures In ascending order of the signing accounts. More than fit into one transaction can be sent in
    /// several by the same account, each going on after the last signature of the one before.
    function affirm(uint256 epoch, Contributions.RoundResult calldata result, Signature[] calldata signatures) external {
        Epoch storage entry = _undecided(epoch, EpochState.Challenged);
        Challenge memory challenged = _challenges[epoch];
        if (block.timestamp >= challenged.answerBy) revert TooLate(challenged.answerBy);
        if (
            result.round != entry.round || result.creditsRoot != entry.creditsRoot || result.dataHash != entry.dataHash
                || result.totalMicroCredits != entry.totalMicro
        ) revert ResultNotOfEpoch(epoch);

        address[] memory signers = CONTRIBUTIONS.signersOf(result, signatures);
        Progress memory progress = _progress[epoch][msg.sender];
        if (signers.length != 0) {
            if (signers[0] <= progress.last) revert SignaturesUnordered(signers[0]);
            progress.weight += uint96(CLOCK.signedWeight(result.round, signers));
            progress.last = signers[signers.length - 1];
            _progress[epoch][msg.sender] = progress;
        }
        uint256 needed = CLOCK.totalWeight(result.round) / 2 + 1;
        emit EpochAnswered(epoch, msg.sender, progress.weight, needed);
        if (progress.weight < needed) return;
        entry.state = EpochState.Final;
        emit EpochAffirmed(epoch, entry.unlocksAt);
        VAULT.burnBond(challenged.challenger, _run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice Give up an epoch whose challenge was not answered in time: the run goes back to the last final epoch, and the
    /// bond to the challenger. Anybody may.
    /// @dev A run that is ending gets time to do the lost rounds again.
    function voidEpoch(uint256 epoch) external {
        Epoch storage entry = _undecided(epoch, EpochState.Challenged);
        Challenge memory challenged = _challenges[epoch];
        if (block.timestamp < challenged.answerBy) revert TooEarly(challenged.answerBy);
        entry.state = EpochState.Void;
        Run storage run = _run;
        Epoch memory last;
        if (run.epochsFinal != 0) last = _epochs[run.epochsFinal - 1];
        emit EpochVoided(epoch, last.round);
        if (run.endsAt != 0) _endAfter(run);
        CONTRIBUTIONS.rollback(last.round, last.creditsRoot, last.dataHash, last.totalMicro);
        VAULT.returnBond(challenged.challenger, run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice An epoch, as of now.
    function epochs(uint256 epoch) external view returns (EpochView memory) {
        Epoch memory entry = _epochs[epoch];
        if (entry.openedAt == 0) revert EpochNotOpen(epoch);
        Challenge memory challenged = _challenges[epoch];
        return EpochView({
            round: entry.round,
            creditsRoot: entry.creditsRoot,
            totalMicro: entry.totalMicro,
            openedAt: entry.openedAt,
            unlocksAt: entry.unlocksAt,
            state: _stateOf(_epochs[epoch]),
            dataHash: entry.dataHash,
            challenger: challenged.challenger,
            answerBy: challenged.answerBy
        });
    }

    /// @notice How many epochs were opened.
    function numEpochs() external view returns (uint256) {
        return _numEpochs;
    }

    /// @notice The newest epoch that is paid now. `found` is false when there is none.
    function latestClaimable() public view returns (bool found, uint256 epoch) {
        for (uint256 i = _numEpochs; i > 0; --i) {
            Epoch storage entry = _epochs[i - 1];
            if (_stateOf(entry) == EpochState.Final && block.timestamp >= entry.unlocksAt) return (true, i - 1);
        }
        return (false, 0);
    }

    /// @notice Round and credits root of the last final epoch; zeros when there is none.
    function lastFinal() external view returns (uint64 round, bytes32 creditsRoot) {
        (uint256 epochsFinal,) = _finalEpochs();
        if (epochsFinal == 0) return (0, 0);
        Epoch storage entry = _epochs[epochsFinal - 1];
        return (entry.round, entry.creditsRoot);
    }

    /// @notice What a challenger puts at stake.
    function bondMicro() external view returns (uint256) {
        return _run.bondMicro;
    }

    /// @dev Remembers the other contracts of the run and its rules.
    function _initEpochs(RunContracts calldata run, Rules calldata rules, uint256 budgetMicro) internal {
        CONTRIBUTIONS = Contributions(run.contributions);
        CLOCK = RoundClock(run.clock);
        VAULT = StakeVault(run.vault);
        _run = Run({
            budgetMicro: budgetMicro.toUint64(),
            bondMicro: rules.bondMicro.toUint64(),
            endsAt: 0,
            epochsFinal: 0,
            reclaimed: false,
            epochRounds: uint40(rules.epochRounds),
            roundS: uint40(rules.roundS),
            challengeS: uint40(rules.challengeS),
            disputeS: uint40(rules.disputeS),
            answerS: uint40(rules.answerS)
        });
    }

    function _undecided(uint256 epoch, EpochState state) private view returns (Epoch storage entry) {
        entry = _epochs[epoch];
        if (entry.openedAt == 0 || entry.state != state) revert EpochNotOpen(epoch);
    }

    /// @dev Accept results for as long as an epoch and two rounds last, from now on.
    function _endAfter(Run storage run) internal {
        uint64 endsAt = uint64(block.timestamp) + (uint64(run.epochRounds) + 2) * run.roundS;
        if (endsAt < run.endsAt) endsAt = run.endsAt;
        run.endsAt = uint40(endsAt);
        emit RunStopped(endsAt);
        CONTRIBUTIONS.endRun(endsAt);
    }

    function _hasEnded(Run storage run) private view returns (bool) {
        return run.endsAt != 0 && block.timestamp >= run.endsAt;
    }

    /// @dev A pending epoch that nobody challenged in time is final without anybody having to say so.
    function _stateOf(Epoch storage entry) internal view returns (EpochState state) {
        state = entry.state;
        if (state == EpochState.Pending && block.timestamp >= uint256(entry.openedAt) + _run.challengeS) {
            return EpochState.Final;
        }
    }

    /// @dev How many epochs there are up to the last final one, and whether the newest is undecided.
    function _finalEpochs() internal view returns (uint256 epochsFinal, bool undecided) {
        epochsFinal = _run.epochsFinal;
        uint256 count = _numEpochs;
        if (count == 0) return (0, false);
        EpochState state = _stateOf(_epochs[count - 1]);
        if (state == EpochState.Final) epochsFinal = count;
        undecided = state == EpochState.Pending || state == EpochState.Challenged;
    }
}
