// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title What a contribution commits to
/// @notice Reads a contribution's canonical bytes: a MessagePack map whose keys are names. Everything that is not needed is
/// passed over, so that further fields change nothing here.
/// @dev Only what a contribution may hold is understood: integers, strings, bytes, lists, maps and nothing. Reading past
/// the end, or anything else, is `ContributionMalformed`.
library ContributionFields {
    /// @notice `hasBefore`, `hasAfter`: it says where the state is found, so that it can be asked for.
    struct Fields {
        bytes32 stateBefore;
        bytes32 stateAfter;
        bytes32 rolloutsRoot;
        uint256 numRollouts;
        bool hasBefore;
        bool hasAfter;
    }

    bytes32 private constant STATE_BEFORE = keccak256("state_before");
    bytes32 private constant STATE_AFTER = keccak256("state_after");
    bytes32 private constant BEFORE = keccak256("before");
    bytes32 private constant AFTER = keccak256("after");
    bytes32 private constant ROLLOUTS_ROOT = keccak256("rollouts_root");
    bytes32 private constant SCORES = keccak256("scores_milli");

    uint8 private constant NOTHING = 0xc0;
    uint256 private constant HEX_DIGITS = 64;

    /// @notice These bytes are no contribution.
    error ContributionMalformed();

    /// @notice What the contribution in `raw` commits to.
    function read(bytes calldata raw) internal pure returns (Fields memory fields) {
        (uint256 kind, uint256 numFields, uint256 place) = _head(raw, 0);
        if (kind != 0x80) revert ContributionMalformed();
        for (uint256 i = 0; i < numFields; ++i) {
            uint256 length;
            (kind, length, place) = _head(raw, place);
            if (kind != 0xa0) revert ContributionMalformed();
            bytes32 name = keccak256(_slice(raw, place, length));
            place += length;
            if (name == STATE_BEFORE) fields.stateBefore = _hash(raw, place);
            else if (name == STATE_AFTER) fields.stateAfter = _hash(raw, place);
            else if (name == ROLLOUTS_ROOT) fields.rolloutsRoot = _hash(raw, place);
            else if (name == BEFORE) fields.hasBefore = _byte(raw, place) != NOTHING;
            else if (name == AFTER) fields.hasAfter = _byte(raw, place) != NOTHING;
            else if (name == SCORES) (, fields.numRollouts,) = _head(raw, place);
            place = _skip(raw, place);
        }
        if (place != raw.length) revert ContributionMalformed();
    }

    /// @dev Behind the value at `place`, whatever is in it.
    function _skip(bytes calldata raw, uint256 place) private pure returns (uint256) {
        uint256 left = 1;
        while (left != 0) {
            --left;
            (uint256 kind, uint256 length, uint256 next) = _head(raw, place);
            place = next;
            if (kind == 0xa0) place += length;
            else if (kind == 0x90) left += length;
            else if (kind == 0x80) left += 2 * length;
            if (place > raw.length || left > raw.length) revert ContributionMalformed();
        }
        return place;
    }

    /// @dev What begins at `place`: 0x80 a map, 0x90 a list, 0xa0 a string or bytes, 0 anything that ends with its head;
    /// how much is in it, and where that begins.
    function _head(bytes calldata raw, uint256 place) private pure returns (uint256 kind, uint256 length, uint256 next) {
        uint256 first = _byte(raw, place);
        next = place + 1;
        if (first < 0x80 || first >= 0xe0 || first == NOTHING) return (0, 0, next);
        if (first < 0x90) return (0x80, first & 0x0f, next);
        if (first < 0xa0) return (0x90, first & 0x0f, next);
        if (first < 0xc0) return (0xa0, first & 0x1f, next);
        if (first >= 0xcc && first <= 0xcf) return (0, 0, next + (1 << (first - 0xcc)));
        uint256 width;
        if (first >= 0xc4 && first <= 0xc6) (kind, width) = (0xa0, 1 << (first - 0xc4));
        else if (first >= 0xd9 && first <= 0xdb) (kind, width) = (0xa0, 1 << (first - 0xd9));
        else if (first == 0xdc || first == 0xdd) (kind, width) = (0x90, 2 << (first - 0xdc));
        else if (first == 0xde || first == 0xdf) (kind, width) = (0x80, 2 << (first - 0xde));
        else revert ContributionMalformed();
        for (uint256 i = 0; i < width; ++i) {
            length = length << 8 | _byte(raw, next + i);
        }
        next += width;
    }

    /// @dev The hash at `place`, as 64 digits of lower-case hex.
    function _hash(bytes calldata raw, uint256 place) private pure returns (bytes32) {
        (uint256 kind, uint256 length, uint256 next) = _head(raw, place);
        if (kind != 0xa0 || length != HEX_DIGITS) revert ContributionMalformed();
        bytes calldata digits = _slice(raw, next, HEX_DIGITS);
        uint256 value;
        for (uint256 i = 0; i < HEX_DIGITS; ++i) {
            uint256 digit = uint8(digits[i]);
            if (digit >= 0x30 && digit <= 0x39) digit -= 0x30;
            else if (digit >= 0x61 && digit <= 0x66) digit -= 0x57;
            else revert ContributionMalformed();
            value = value << 4 | digit;
        }
        return bytes32(value);
    }

    function _slice(bytes calldata raw, uint256 place, uint256 length) private pure returns (bytes calldata) {
        if (place + length > raw.length) revert ContributionMalformed();
        return raw[place:place + length];
    }

    function _byte(bytes calldata raw, uint256 place) private pure returns (uint8) {
        if (place >= raw.length) revert ContributionMalformed();
        return uint8(raw[place]);
    }
}
