// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {Contributions} from "../Contributions.sol";
import {Equivocation} from "../Equivocation.sol";
import {Reputation} from "../Reputation.sol";
import {RoundClock} from "../RoundClock.sol";
import {RunFactory} from "../RunFactory.sol";
import {RunContracts, Rules, WEI_PER_MICRO} from "../RunTypes.sol";
import {Settlement} from "../Settlement.sol";
import {StakeVault} from "../StakeVault.sol";
import {Bench} from "./Bench.sol";

contract FactoryTest is Bench {
    function test_aRunIsFoundAndPaidFor() public view {
        RunFactory.RunView memory run = factory.runAt(0);
        require(keccak256(abi.encode(run)) == keccak256(abi.encode(factory.run(CREATOR, RUN_ID))));
        require(run.creator == CREATOR && run.runId == RUN_ID && run.budgetMicro == BUDGET_MICRO);
        require(keccak256(abi.encode(run.rules)) == keccak256(abi.encode(_rules())));
        require(keccak256(abi.encode(run.contracts)) == keccak256(abi.encode(factory.addressesOf(CREATOR, RUN_ID))));
        require(run.contracts.clock == address(clock) && run.contracts.equivocation == address(equivocation));
        require(keccak256(bytes(run.name)) == keccak256("a run") && run.createdAt == 1_800_000_000);
        require(run.modelHash == keccak256("model") && run.taskHash == keccak256("task") && factory.numRuns() == 1);
        _equal(token.balanceOf(address(settlement)), BUDGET_MICRO * WEI_PER_MICRO);
    }

    function test_thePartsKnowEachOther() public view {
        require(address(clock.CONTRIBUTIONS()) == address(contributions) && address(clock.VAULT()) == address(vault));
        require(clock.REPUTATION() == address(reputation) && clock.EQUIVOCATION() == address(equivocation));
        require(address(contributions.CLOCK()) == address(clock) && contributions.SETTLEMENT() == address(settlement));
        require(address(settlement.CLOCK()) == address(clock) && address(settlement.CONTRIBUTIONS()) == address(contributions));
        require(address(settlement.VAULT()) == address(vault) && settlement.CREATOR() == CREATOR && settlement.bondMicro() == 50 * CREDIT);
        require(address(vault.CLOCK()) == address(clock) && vault.SETTLEMENT() == address(settlement));
        require(address(reputation.CLOCK()) == address(clock) && address(reputation.CONTRIBUTIONS()) == address(contributions));
        require(address(equivocation.CLOCK()) == address(clock) && address(equivocation.VAULT()) == address(vault) && equivocation.RUN_ID() == RUN_ID);
    }

    function test_aRunIdIsUsedOncePerCreator() public {
        vm.prank(CREATOR);
        _refused(RunFactory.RunExists.selector);
        factory.createRun(RUN_ID, 0, 0, "again", _rules(), BUDGET_MICRO);
        token.approve(address(factory), BUDGET_MICRO * WEI_PER_MICRO);
        RunContracts memory other = factory.createRun(RUN_ID, 0, 0, "another's", _rules(), BUDGET_MICRO);
        require(other.clock != address(clock) && factory.numRuns() == 2);
        _refused(RunFactory.RunUnknown.selector);
        factory.run(STRANGER, RUN_ID);
        _refused(RunFactory.RunUnknown.selector);
        factory.runAt(2);
    }

    function test_noRunWithoutItsBudget() public {
        vm.prank(CREATOR);
        try factory.createRun(keccak256("other"), 0, 0, "", _rules(), BUDGET_MICRO) {
            revert("created without pay");
        } catch {}
        _equal(factory.numRuns(), 1);
    }

    function test_senselessRulesAreRefused() public {
        for (uint256 i = 0; i < 24; ++i) {
            Rules memory rules = _rules();
            uint256 budget = BUDGET_MICRO;
            string memory name = "run";
            if (i == 0) rules.roundS = 0;
            if (i == 1) rules.startMembers = 0;
            if (i == 2) rules.absenceRounds = 0;
            if (i == 3) rules.quorumSize = 0;
            if (i == 4) rules.posterS = 0;
            if (i == 5) rules.epochRounds = 0;
            if (i == 6) rules.challengeS = 0;
            if (i == 7) rules.answerS = 0;
            if (i == 8) rules.bondMicro = 0;
            if (i == 9) rules.roundEmissionMicro = 0;
            if (i == 10) budget = 0;
            if (i == 11) budget = 1 << 64;
            if (i == 12) rules.unbondingS = 2499; // one less than two rounds, a move, challenge, answer and dispute take
            if (i == 13) rules.roundS = type(uint64).max;
            if (i == 14) rules.minStakeMicro = 1 << 64;
            if (i == 15) rules.disputeS = type(uint64).max;
            if (i == 16) rules.barredRounds = type(uint64).max;
            if (i == 17) rules.epochRounds = 1 << 16;
            if (i == 18) name = string(new bytes(65));
            if (i == 19) rules.traceS = 0;
            if (i == 20) rules.moveS = 0;
            if (i == 21) rules.disputeBondMicro = 0;
            if (i == 22) rules.disputeBondMicro = 1 << 64;
            if (i == 23) rules.moveS = 366 days;
            _refused(RunFactory.ParameterOutOfRange.selector);
            factory.createRun(keccak256("other"), 0, 0, name, rules, budget);
        }
    }

    function test_stakeIsLiableForTwoRoundsAMoveAndThePayoutAtLeast() public {
        Rules memory rules = _rules();
        rules.unbondingS = 2 * rules.roundS + rules.moveS + rules.challengeS + rules.answerS + rules.disputeS;
        _equal(rules.unbondingS, 2500);
        _createRun(keccak256("just enough"), rules);
        (rules.roundS, rules.unbondingS) = (365 days, 3650 days);
        (rules.moveS, rules.challengeS, rules.answerS, rules.disputeS) = (365 days, 365 days, 365 days, 365 days);
        _createRun(keccak256("as long as can be"), rules);
        for (uint256 i = 0; i < 2; ++i) {
            rules = _rules();
            rules.unbondingS = 2500;
            if (i == 0) ++rules.roundS;
            if (i == 1) ++rules.moveS;
            _refused(RunFactory.ParameterOutOfRange.selector);
            factory.createRun(keccak256("other"), 0, 0, "", rules, BUDGET_MICRO);
        }
    }

    function test_aChainWithoutRandomnessIsRefused() public {
        token.approve(address(factory), 2 * BUDGET_MICRO * WEI_PER_MICRO);
        address history = 0x0000F90827F1C53a10cb7A02335B175320002935;
        vm.setBlockhash(block.number - 1, 0);
        vm.etch(history, hex"00");
        factory.createRun(keccak256("history and randao"), 0, 0, "", _rules(), BUDGET_MICRO);
        vm.prevrandao(0);
        _refused(RunFactory.RandomnessMissing.selector);
        factory.createRun(keccak256("no randao"), 0, 0, "", _rules(), BUDGET_MICRO);
        vm.prevrandao(bytes32(uint256(1)));
        vm.etch(history, "");
        _refused(RunFactory.RandomnessMissing.selector);
        factory.createRun(keccak256("no history"), 0, 0, "", _rules(), BUDGET_MICRO);
        vm.setBlockhash(block.number - 1, keccak256("hash"));
        factory.createRun(keccak256("hash"), 0, 0, "", _rules(), BUDGET_MICRO);
    }

    function test_whereNoStakeIsAskedEverybodyWeighsOne() public {
        Rules memory rules = _rules();
        rules.minStakeMicro = 0;
        _createRun(keccak256("free"), rules);
        _join(0, 3, 0);
        _equal(clock.totalWeight(1), 3);
    }

    function test_nothingIsInitialisedTwiceNorAnImplementationEver() public {
        RunContracts memory run = factory.addressesOf(CREATOR, RUN_ID);
        Rules memory rules = _rules();
        bytes4 reason = Initializable.InvalidInitialization.selector;
        _refused(reason);
        clock.initialize(run, rules);
        _refused(reason);
        contributions.initialize(run, rules, 1);
        _refused(reason);
        settlement.initialize(run, rules, 1, STRANGER, STRANGER);
        _refused(reason);
        vault.initialize(run, rules, new address[](0));
        _refused(reason);
        reputation.initialize(run, rules);
        _refused(reason);
        equivocation.initialize(run, rules, 0);
        _refused(reason);
        disputes.initialize(run, rules, 0);
        RoundClock bare = new RoundClock(registry);
        _refused(reason);
        bare.initialize(run, rules);
        Settlement bareSettlement = new Settlement(registry, token);
        _refused(reason);
        bareSettlement.initialize(run, rules, 1, STRANGER, STRANGER);
    }
}
