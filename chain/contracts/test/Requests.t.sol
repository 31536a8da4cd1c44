// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ContributionFields} from "../ContributionFields.sol";
import {DataRequests} from "../DataRequests.sol";
import {Signature} from "../RunTypes.sol";
import {StakeVault} from "../StakeVault.sol";
import {Bench} from "./Bench.sol";
import {Targets} from "./Targets.sol";

/// @dev A run whose states have two chunks, and contributions with two rollouts.
abstract contract RequestsBench is Bench {
    bytes internal constant CHUNK = "the first chunk of the state";
    bytes internal constant OTHER = "the second chunk of the state";
    bytes internal constant ROLLOUT = "a rollout";
    bytes32 internal constant PIECES = keccak256("pieces");

    Player[] internal players;

    function _modelHash() internal pure override returns (bytes32) {
        return _node(_row(1, keccak256("genesis 0")), _row(2, keccak256("genesis 1")));
    }

    function _ready() internal {
        Bench.setUp();
        Player[] memory joined = _join(0, 3, 2);
        for (uint256 i = 0; i < 3; ++i) {
            players.push(joined[i]);
        }
    }

    function _row(uint256 key, bytes32 value) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(key, value))));
    }

    function _node(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function _chunkValue(bytes memory chunk) internal pure returns (bytes32) {
        return sha256(bytes.concat(sha256(chunk), PIECES));
    }

    function _state() internal pure returns (bytes32) {
        return _node(_row(1, _chunkValue(CHUNK)), _row(2, _chunkValue(OTHER)));
    }

    function _rollouts() internal pure returns (bytes32) {
        return _node(_row(0, sha256(ROLLOUT)), _row(1, sha256("another rollout")));
    }

    function _proofOf(bytes32 sibling) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = sibling;
    }

    function _text(string memory text) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(uint8(0xa0 + bytes(text).length)), bytes(text));
    }

    function _hex(bytes32 value) internal pure returns (bytes memory) {
        bytes memory digits = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            uint256 digit = (uint256(value) >> (252 - 4 * i)) & 0xf;
            digits[i] = bytes1(uint8(digit < 10 ? 0x30 + digit : 0x57 + digit));
        }
        return bytes.concat(hex"d940", digits);
    }

    /// @dev Canonical bytes, other fields between those that count. `tag` makes contributions differ.
    function _contribution(uint16 tag, bool isFirst) internal pure returns (bytes memory) {
        bytes memory ref = bytes.concat(_text("content"), _hex(keccak256("ref")), _text("size"), hex"ce00010000");
        ref = bytes.concat(hex"82", ref);
        bytes memory raw = bytes.concat(hex"8a", _text("run"), _hex(RUN_ID));
        raw = bytes.concat(raw, _text("round"), hex"cd", bytes2(tag));
        raw = bytes.concat(raw, _text("cohort"), hex"93", _text("ada"), _text("ben"), hex"d903636364");
        raw = bytes.concat(raw, _text("state_before"), _hex(_state()), _text("state_after"), _hex(_state()));
        raw = bytes.concat(raw, _text("before"), isFirst ? bytes(hex"c0") : ref, _text("after"), ref);
        raw = bytes.concat(raw, _text("rollouts_root"), _hex(_rollouts()), _text("scores_milli"), hex"92cd03e800");
        return bytes.concat(raw, _text("work"), hex"c401ff");
    }

    function _signed(Player memory player, uint64 round, bytes memory contribution) internal view returns (Signature memory) {
        return _sign(player.secret, registry.recordDigest(RUN_ID, "contribution", round, sha256(contribution)));
    }

    function _chunk(DataRequests.Part part, uint32 index) internal pure returns (DataRequests.Piece memory) {
        bool isFirst = index == 0;
        return DataRequests.Piece({
            part: part,
            index: index,
            line: isFirst ? keccak256("genesis 0") : keccak256("genesis 1"),
            proof: _proofOf(isFirst ? _row(2, keccak256("genesis 1")) : _row(1, keccak256("genesis 0")))
        });
    }

    function _rollout(uint32 index) internal pure returns (DataRequests.Piece memory) {
        return DataRequests.Piece(DataRequests.Part.Rollout, index, 0, new bytes32[](0));
    }

    function _fund(address asker, uint256 bonds) internal {
        token.transfer(asker, bonds * 1 ether);
        vm.prank(asker);
        token.approve(address(vault), bonds * 1 ether);
    }
}

contract RequestsTest is RequestsBench {
    bytes private contribution;

    function setUp() public override {
        _ready();
        contribution = _contribution(1, false);
        _fund(STRANGER, 20);
    }

    function _ask(DataRequests.Piece memory piece) private returns (bytes32) {
        Signature memory signature = _signed(players[0], 1, contribution);
        vm.prank(STRANGER);
        return requests.ask(players[0].peerKey, 1, contribution, signature, piece);
    }

    function _cannotAsk(bytes4 refusal, Player memory accused, uint64 round, bytes memory said, DataRequests.Piece memory piece)
        private
    {
        Signature memory signature = _signed(players[0], round, said);
        vm.prank(STRANGER);
        _refused(refusal);
        requests.ask(accused.peerKey, round, said, signature, piece);
    }

    function test_whoShowsThePieceKeepsItsStakeAndTheBondIsBurned() public {
        bytes32 id = _ask(_chunk(DataRequests.Part.StateBefore, 0));
        _equal(token.balanceOf(STRANGER), 19 ether);
        _equal(requests.numOpen(players[0].peerKey), 1);
        uint256 supply = token.totalSupply();
        _pass(99);
        requests.show(id, CHUNK, PIECES, _proofOf(_row(2, _chunkValue(OTHER))));
        require(requests.requestOf(id).stage == DataRequests.Stage.Shown);
        _equal(supply - token.totalSupply(), 1 ether);
        _equal(requests.numOpen(players[0].peerKey), 0);
        _equal(vault.holdsOf(players[0].peerKey), 0);
        (uint256 activeWei,,) = vault.stakeOf(players[0].peerKey);
        _equal(activeWei, 20 ether);
        _pass(100);
        _refused(DataRequests.RequestNotOpen.selector);
        requests.expire(id);
    }

    function test_everyKindOfPieceCanBeShown() public {
        bytes32 later = _ask(_chunk(DataRequests.Part.StateAfter, 1));
        bytes32 rollout = _ask(_rollout(0));
        requests.show(later, OTHER, PIECES, _proofOf(_row(1, _chunkValue(CHUNK))));
        requests.show(rollout, ROLLOUT, 0, _proofOf(_row(1, sha256("another rollout"))));
        require(requests.requestOf(later).stage == DataRequests.Stage.Shown);
        require(requests.requestOf(rollout).stage == DataRequests.Stage.Shown);
    }

    function test_whoWithholdsItLosesItsStakeAndItsSeat() public {
        bytes32 id = _ask(_rollout(1));
        _refused(DataRequests.TooEarly.selector);
        requests.expire(id);
        _pass(100);
        bytes32[] memory proof = _proofOf(_row(0, sha256(ROLLOUT)));
        _refused(DataRequests.TooLate.selector);
        requests.show(id, "another rollout", 0, proof);
        requests.expire(id);
        require(requests.requestOf(id).stage == DataRequests.Stage.Withheld);
        _equal(token.balanceOf(STRANGER), 30 ether); // bond back, and half of twenty
        (uint256 activeWei,,) = vault.stakeOf(players[0].peerKey);
        _equal(activeWei, 0);
        _equal(clock.standing(players[0].peerKey).barredUntilRound, 6);
        require(!clock.isMember(players[0].peerKey, 2));
        _equal(token.balanceOf(address(vault)), 40 ether);
    }

    function test_stakeCannotLeaveWhileAPieceIsAskedFor() public {
        vm.prank(players[0].wallet);
        vault.requestExit(players[0].peerKey, 20 ether, 0);
        _pass(4990);
        bytes32 id = _ask(_rollout(0));
        _pass(99);
        _refused(StakeVault.DisputePending.selector);
        vault.withdraw(players[0].peerKey);
        _pass(1);
        requests.expire(id);
        _equal(token.balanceOf(players[0].wallet), 0);
        _equal(token.balanceOf(STRANGER), 30 ether);
    }

    function test_onlyItsSignerCanBeAskedAndOnlyWhileItIsChecked() public {
        _cannotAsk(DataRequests.NotSignedByPeer.selector, players[1], 1, contribution, _rollout(0));
        Player memory nobody;
        _cannotAsk(DataRequests.NotSignedByPeer.selector, nobody, 1, contribution, _rollout(0));
        _advance();
        _advance();
        _cannotAsk(DataRequests.RoundTooOld.selector, players[0], 1, contribution, _rollout(0));
        Signature memory signature = _signed(players[0], 2, contribution);
        vm.prank(STRANGER);
        requests.ask(players[0].peerKey, 2, contribution, signature, _rollout(0));
    }

    function test_whoStoleAFormerAccountCannotHaveThePeerAsked() public {
        Player memory ada = players[0];
        _signFrom(ada, 4711);
        clock.refresh(ada.peerKey);
        _advance();
        _cannotAsk(DataRequests.NotSignedByPeer.selector, ada, 2, contribution, _rollout(0));
    }

    function test_whatIsNotThereCannotBeAskedFor() public {
        _cannotAsk(DataRequests.NoSuchPiece.selector, players[0], 1, contribution, _rollout(2));
        DataRequests.Piece memory third = _chunk(DataRequests.Part.StateAfter, 1);
        third.index = 2;
        _cannotAsk(DataRequests.NoSuchPiece.selector, players[0], 1, contribution, third);
        DataRequests.Piece memory before = _chunk(DataRequests.Part.StateBefore, 0);
        _cannotAsk(DataRequests.NoSuchPiece.selector, players[0], 1, _contribution(1, true), before);
        _cannotAsk(ContributionFields.ContributionMalformed.selector, players[0], 1, "contribution", before);
    }

    function test_aPieceIsAskedForOnceAndAPeerForFewAtATime() public {
        bytes32 id = _ask(_rollout(0));
        _cannotAsk(DataRequests.RequestExists.selector, players[0], 1, contribution, _rollout(0));
        _ask(_rollout(1));
        _ask(_chunk(DataRequests.Part.StateBefore, 0));
        _ask(_chunk(DataRequests.Part.StateBefore, 1));
        _cannotAsk(
            DataRequests.TooManyRequests.selector, players[0], 1, contribution, _chunk(DataRequests.Part.StateAfter, 0)
        );
        requests.show(id, ROLLOUT, 0, _proofOf(_row(1, sha256("another rollout"))));
        _cannotAsk(DataRequests.RequestExists.selector, players[0], 1, contribution, _rollout(0));
        _ask(_chunk(DataRequests.Part.StateAfter, 0));
    }

    function test_nothingIsShownOrEndedThatWasNotAskedFor() public {
        _refused(DataRequests.RequestNotOpen.selector);
        requests.show(keccak256("nothing"), ROLLOUT, 0, new bytes32[](0));
        _refused(DataRequests.RequestNotOpen.selector);
        requests.expire(keccak256("nothing"));
    }

    function test_aRequestCostsItsBond() public {
        address poor = address(0xB00);
        Signature memory signature = _signed(players[0], 1, contribution);
        vm.prank(poor);
        (bool done,) = address(requests).call(
            abi.encodeCall(DataRequests.ask, (players[0].peerKey, 1, contribution, signature, _rollout(0)))
        );
        require(!done);
        _equal(requests.numOpen(players[0].peerKey), 0);
    }

    function testFuzz_otherBytesAreNotThePiece(bytes calldata data, bytes32 pieces, bytes32[] calldata proof, bool isRollout)
        public
    {
        bytes32 id = _ask(isRollout ? _rollout(0) : _chunk(DataRequests.Part.StateAfter, 0));
        vm.assume(keccak256(data) != keccak256(ROLLOUT) && keccak256(data) != keccak256(CHUNK));
        bytes32 sibling = isRollout ? _row(1, sha256("another rollout")) : _row(2, _chunkValue(OTHER));
        bytes32[] memory right = _proofOf(sibling);
        _refused(DataRequests.PieceRejected.selector);
        requests.show(id, data, pieces, proof);
        _refused(DataRequests.PieceRejected.selector);
        requests.show(id, data, PIECES, right);
    }

    /// @dev External, so that the bytes are call data.
    function fieldsOf(bytes calldata raw) external pure returns (ContributionFields.Fields memory) {
        return ContributionFields.read(raw);
    }

    function test_fieldsAreReadWhateverStandsBetweenThem() public view {
        ContributionFields.Fields memory fields = this.fieldsOf(contribution);
        require(fields.stateBefore == _state() && fields.stateAfter == _state() && fields.rolloutsRoot == _rollouts());
        require(fields.numRollouts == 2 && fields.hasBefore && fields.hasAfter);
        require(!this.fieldsOf(_contribution(1, true)).hasBefore);
    }

    function testFuzz_whatIsCutOffOrTooLongIsNoContribution(uint256 length, bytes calldata more) public {
        bytes memory whole = contribution;
        vm.assume(more.length != 0);
        length %= whole.length;
        _refused(ContributionFields.ContributionMalformed.selector);
        this.fieldsOf(bytes.concat(whole, more));
        assembly ("memory-safe") {
            mstore(whole, length)
        }
        _refused(ContributionFields.ContributionMalformed.selector);
        this.fieldsOf(whole);
    }

    /// @dev Whatever bytes a stranger makes up, reading them ends, in a result or a refusal.
    function testFuzz_anyBytesAreReadToAnEnd(bytes calldata raw) public {
        (bool done, bytes memory why) = address(this).call(abi.encodeCall(this.fieldsOf, (raw)));
        require(done || bytes4(why) == ContributionFields.ContributionMalformed.selector);
    }
}

/// @dev Requests, answers, deadlines, rounds and exits in any order.
contract RequestsHandler is RequestsBench {
    address private constant ASKER = address(0xA5C);
    bytes32[] private _ids;
    uint256 public slashed;

    constructor() {
        _ready();
        _fund(ASKER, 1000);
    }

    function setUp() public override {}

    function ask(uint256 who, uint8 kind, uint16 tag, bool old) external {
        Player memory accused = players[who % 3];
        uint64 round = clock.round();
        round = old && round > 1 ? round - 1 : round;
        bytes memory contribution = _contribution(tag % 4, false);
        Signature memory signature = _signed(accused, round, contribution);
        DataRequests.Piece memory piece =
            kind % 3 == 0 ? _rollout(0) : _chunk(kind % 3 == 1 ? DataRequests.Part.StateBefore : DataRequests.Part.StateAfter, 0);
        vm.prank(ASKER);
        try requests.ask(accused.peerKey, round, contribution, signature, piece) returns (bytes32 id) {
            _ids.push(id);
        } catch {}
    }

    function show(uint256 which) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        bool isRollout = requests.requestOf(id).part == DataRequests.Part.Rollout;
        bytes32 sibling = isRollout ? _row(1, sha256("another rollout")) : _row(2, _chunkValue(OTHER));
        try requests.show(id, isRollout ? ROLLOUT : CHUNK, isRollout ? bytes32(0) : PIECES, _proofOf(sibling)) {} catch {}
    }

    function expire(uint256 which) external {
        if (_ids.length == 0) return;
        try requests.expire(_ids[which % _ids.length]) {
            ++slashed;
        } catch {}
    }

    function pass(uint8 seconds_) external {
        _pass(seconds_);
    }

    function advance() external {
        _pass(100);
        try clock.advance(clock.round()) {} catch {}
    }

    function depart(uint256 who) external {
        Player memory player = players[who % 3];
        vm.prank(player.wallet);
        try vault.requestExit(player.peerKey, 1 ether, 0) {} catch {}
        _pass(5000);
        try vault.withdraw(player.peerKey) {} catch {}
    }

    function check() external view {
        uint256 numOpen;
        uint256 stakesWei;
        for (uint256 i = 0; i < _ids.length; ++i) {
            if (requests.requestOf(_ids[i]).stage == DataRequests.Stage.Open) ++numOpen;
        }
        uint256 counted;
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 peerKey = players[i].peerKey;
            require(requests.numOpen(peerKey) <= requests.MAX_OPEN());
            require(requests.numOpen(peerKey) == vault.holdsOf(peerKey));
            counted += requests.numOpen(peerKey);
            (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(peerKey);
            stakesWei += activeWei + exitingWei;
        }
        _equal(counted, numOpen);
        _equal(token.balanceOf(address(vault)), stakesWei + numOpen * 1 ether);
    }
}

contract RequestsInvariants is Targets {
    RequestsHandler private _handler;

    function setUp() public {
        _handler = new RequestsHandler();
        _target = address(_handler);
        _actions = [
            RequestsHandler.ask.selector,
            RequestsHandler.show.selector,
            RequestsHandler.expire.selector,
            RequestsHandler.pass.selector,
            RequestsHandler.advance.selector,
            RequestsHandler.depart.selector
        ];
    }

    /// @dev The vault holds exactly stakes and open bonds, and every open request holds its peer's stake once.
    function invariant_stakesAndBondsAreAllThere() public view {
        _handler.check();
    }
}
