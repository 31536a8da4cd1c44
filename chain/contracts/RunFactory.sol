// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Contributions} from "./Contributions.sol";
import {DataRequests} from "./DataRequests.sol";
import {DisputeGame} from "./DisputeGame.sol";
import {Equivocation} from "./Equivocation.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {Reputation} from "./Reputation.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, WEI_PER_MICRO} from "./RunTypes.sol";
import {Settlement} from "./Settlement.sol";
import {StakeVault} from "./StakeVault.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title Makes runs
/// @notice Who wants training pays for it: creating a run takes its budget into the run's escrow and creates all of its
/// contracts in one transaction. Nobody can change a run's rules, and nobody has a key to any part of it.
/// @dev The contracts are minimal clones (EIP-1167) of one implementation each, at addresses that follow from creator and
/// run id, so they know each other from the start.
contract RunFactory {
    using SafeERC20 for SwarmToken;

    /// @notice A run and where its parts are.
    struct RunView {
        bytes32 runId;
        address creator;
        bytes32 modelHash;
        bytes32 taskHash;
        string name;
        uint256 budgetMicro;
        uint64 createdAt;
        RunContracts contracts;
        Rules rules;
    }

    /// @notice Bytes of the longest name of a run.
    uint256 public constant MAX_NAME_BYTES = 64;

    /// @dev System contract of EIP-2935; chains without it have no code there.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice What budgets are in.
    SwarmToken public immutable TOKEN;

    address private immutable _CLOCK;
    address private immutable _CONTRIBUTIONS;
    address private immutable _SETTLEMENT;
    address private immutable _VAULT;
    address private immutable _REPUTATION;
    address private immutable _EQUIVOCATION;
    address private immutable _DISPUTES;
    address private immutable _REQUESTS;

    RunView[] private _runs;
    mapping(address creator => mapping(bytes32 runId => uint256 indexPlusOne)) private _indices;

    /// @notice A run exists.
    event RunCreated(
        bytes32 indexed runId,
        address indexed creator,
        uint256 index,
        bytes32 modelHash,
        bytes32 taskHash,
        string name,
        uint256 budgetMicro,
        RunContracts contracts,
        Rules rules
    );

    /// @notice This creator has a run with this id.
    error RunExists(address creator, bytes32 runId);
    /// @notice There is no such run.
    error RunUnknown();
    /// @notice A rule, the budget or the name is zero, too large, or does not fit to the others.
    error ParameterOutOfRange(string parameter);
    /// @notice This chain gives contracts no hash of past blocks and no random number: nothing could be drawn.
    error RandomnessMissing();

    /// @param implementations What clones are made of; they belong to this registry and token.
    constructor(PeerRegistry registry, SwarmToken token, RunContracts memory implementations) {
        REGISTRY = registry;
        TOKEN = token;
        _CLOCK = implementations.clock;
        _CONTRIBUTIONS = implementations.contributions;
        _SETTLEMENT = implementations.settlement;
        _VAULT = implementations.vault;
        _REPUTATION = implementations.reputation;
        _EQUIVOCATION = implementations.equivocation;
        _DISPUTES = implementations.disputes;
        _REQUESTS = implementations.requests;
    }

    /// @notice Create a run and pay its budget, which the caller approved to this contract.
    /// @param runId Content id of the run's specification; unique per creator.
    /// @param modelHash Root of the state that the run begins with.
    /// @param taskHash Content id of what is asked.
    /// @param name What people call it.
    /// @param budgetMicro Everything that can ever be credited, in millionths of a credit.
    function createRun(
        bytes32 runId,
        bytes32 modelHash,
        bytes32 taskHash,
        string calldata name,
        Rules calldata rules,
        uint256 budgetMicro
    ) external returns (RunContracts memory contracts) {
        if (_indices[msg.sender][runId] != 0) revert RunExists(msg.sender, runId);
        if (bytes(name).length > MAX_NAME_BYTES) revert ParameterOutOfRange("name");
        if (budgetMicro == 0 || budgetMicro > type(uint64).max) revert ParameterOutOfRange("budgetMicro");
        _requireSensible(rules);
        _requireRandomness();

        contracts = _clones(runId);
        uint256 index = _runs.length;
        _indices[msg.sender][runId] = index + 1;
        _runs.push(
            RunView({
                runId: runId,
                creator: msg.sender,
                modelHash: modelHash,
                taskHash: taskHash,
                name: name,
                budgetMicro: budgetMicro,
                createdAt: uint64(block.timestamp),
                contracts: contracts,
                rules: rules
            })
        );
        _initialize(contracts, rules, runId, budgetMicro, modelHash);
        emit RunCreated(runId, msg.sender, index, modelHash, taskHash, name, budgetMicro, contracts, rules);
        TOKEN.safeTransferFrom(msg.sender, contracts.settlement, budgetMicro * WEI_PER_MICRO);
    }

    /// @notice The run that `creator` made with `runId`.
    function run(address creator, bytes32 runId) external view returns (RunView memory) {
        uint256 indexPlusOne = _indices[creator][runId];
        if (indexPlusOne == 0) revert RunUnknown();
        return _runs[indexPlusOne - 1];
    }

    /// @notice How many runs there are.
    function numRuns() external view returns (uint256) {
        return _runs.length;
    }

    /// @notice The run with this number, in order of creation.
    function runAt(uint256 index) external view returns (RunView memory) {
        if (index >= _runs.length) revert RunUnknown();
        return _runs[index];
    }

    /// @notice Where the contracts of `creator`'s run are, or will be.
    function addressesOf(address creator, bytes32 runId) external view returns (RunContracts memory) {
        return RunContracts({
            clock: _predicted(_CLOCK, creator, runId, "clock"),
            contributions: _predicted(_CONTRIBUTIONS, creator, runId, "contributions"),
            settlement: _predicted(_SETTLEMENT, creator, runId, "settlement"),
            vault: _predicted(_VAULT, creator, runId, "vault"),
            reputation: _predicted(_REPUTATION, creator, runId, "reputation"),
            equivocation: _predicted(_EQUIVOCATION, creator, runId, "equivocation"),
            disputes: _predicted(_DISPUTES, creator, runId, "disputes"),
            requests: _predicted(_REQUESTS, creator, runId, "requests")
        });
    }

    function _clones(bytes32 runId) private returns (RunContracts memory) {
        return RunContracts({
            clock: Clones.cloneDeterministic(_CLOCK, _salt(msg.sender, runId, "clock")),
            contributions: Clones.cloneDeterministic(_CONTRIBUTIONS, _salt(msg.sender, runId, "contributions")),
            settlement: Clones.cloneDeterministic(_SETTLEMENT, _salt(msg.sender, runId, "settlement")),
            vault: Clones.cloneDeterministic(_VAULT, _salt(msg.sender, runId, "vault")),
            reputation: Clones.cloneDeterministic(_REPUTATION, _salt(msg.sender, runId, "reputation")),
            equivocation: Clones.cloneDeterministic(_EQUIVOCATION, _salt(msg.sender, runId, "equivocation")),
            disputes: Clones.cloneDeterministic(_DISPUTES, _salt(msg.sender, runId, "disputes")),
            requests: Clones.cloneDeterministic(_REQUESTS, _salt(msg.sender, runId, "requests"))
        });
    }

    function _initialize(
        RunContracts memory contracts,
        Rules calldata rules,
        bytes32 runId,
        uint256 budgetMicro,
        bytes32 modelHash
    ) private {
        address[] memory courts = new address[](3);
        courts[0] = contracts.equivocation;
        courts[1] = contracts.disputes;
        courts[2] = contracts.requests;
        RoundClock(contracts.clock).initialize(contracts, rules);
        Contributions(contracts.contributions).initialize(contracts, rules, budgetMicro);
        Settlement(contracts.settlement).initialize(contracts, rules, budgetMicro, msg.sender, contracts.disputes);
        StakeVault(contracts.vault).initialize(contracts, rules, courts);
        Reputation(contracts.reputation).initialize(contracts, rules);
        Equivocation(contracts.equivocation).initialize(contracts, rules, runId);
        DisputeGame(contracts.disputes).initialize(contracts, rules, runId);
        DataRequests(contracts.requests).initialize(contracts, rules, runId, modelHash);
    }

    /// @dev Everything is bounded so that no sum or product of rules overflows the slots that hold it.
    function _requireSensible(Rules calldata rules) private pure {
        _requireWithin(rules.roundS, 1, 365 days, "roundS");
        _requireWithin(rules.startMembers, 1, type(uint32).max, "startMembers");
        _requireWithin(rules.absenceRounds, 1, type(uint32).max, "absenceRounds");
        _requireWithin(rules.quorumSize, 1, type(uint32).max, "quorumSize");
        _requireWithin(rules.posterS, 1, 365 days, "posterS");
        _requireWithin(rules.epochRounds, 1, type(uint16).max, "epochRounds");
        _requireWithin(rules.challengeS, 1, 365 days, "challengeS");
        _requireWithin(rules.disputeS, 0, 365 days, "disputeS");
        _requireWithin(rules.answerS, 1, 365 days, "answerS");
        _requireWithin(rules.barredRounds, 0, type(uint32).max, "barredRounds");
        _requireWithin(rules.minStakeMicro, 0, type(uint64).max, "minStakeMicro");
        _requireWithin(rules.bondMicro, 1, type(uint64).max, "bondMicro");
        _requireWithin(rules.roundEmissionMicro, 1, type(uint64).max, "roundEmissionMicro");
        _requireWithin(rules.traceS, 1, 365 days, "traceS");
        _requireWithin(rules.moveS, 1, 365 days, "moveS");
        _requireWithin(rules.disputeBondMicro, 1, type(uint64).max, "disputeBondMicro");
        // Who leaves stays liable until everything that was signed before is decided: checked a round later, done again in
        // the time of a move, paid or disputed after that. Rounds that an accusation may wait are a rule of the members.
        uint256 decidedAfter =
            2 * uint256(rules.roundS) + rules.moveS + rules.challengeS + rules.answerS + rules.disputeS;
        _requireWithin(rules.unbondingS, decidedAfter, 3650 days, "unbondingS");
    }

    function _requireWithin(uint256 value, uint256 least, uint256 most, string memory parameter) private pure {
        if (value < least || value > most) revert ParameterOutOfRange(parameter);
    }

    /// @dev The seed of a round is the hash of a past block. Where past blocks have none, or one cannot tell because no
    /// randomness shows at all, a run would draw the same members over and over.
    function _requireRandomness() private view {
        bool hasHash = block.number > 0 && blockhash(block.number - 1) != 0;
        if (!hasHash && (block.prevrandao == 0 || HISTORY.code.length == 0)) revert RandomnessMissing();
    }

    function _predicted(address implementation, address creator, bytes32 runId, string memory part)
        private
        view
        returns (address)
    {
        return Clones.predictDeterministicAddress(implementation, _salt(creator, runId, part));
    }

    function _salt(address creator, bytes32 runId, string memory part) private pure returns (bytes32) {
        return keccak256(abi.encode(creator, runId, part));
    }
}
