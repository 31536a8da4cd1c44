// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {Elements} from "./Elements.sol";
import {MalformedLeaf} from "./Refusal.sol";

/// @title The largest of a row, and where it is
/// @notice Sections 2 and 7 of docs/exact-1.md: among equals the lowest index first. Ranks are integers in the order of
/// the numbers, from 1 on; 0 stands for no number.
library Sampling {
    function rank(uint32 x) internal pure returns (uint256) {
        unchecked {
            return 1 + uint256(x & Binary32.SIGN == 0 ? x | Binary32.SIGN : ~x);
        }
    }

    /// @notice The number of a rank; 0 for rank 0.
    function ranked(uint256 found) internal pure returns (uint32) {
        unchecked {
            if (found == 0) return 0;
            uint32 x = uint32(found - 1);
            return x & Binary32.SIGN != 0 ? x ^ Binary32.SIGN : ~x;
        }
    }

    /// @notice The largest rank where `mask` is 1, or `start` where that is larger. `mask` is empty (all 1) or U8.
    function largest(bytes calldata row, bytes calldata mask, uint256 start) internal pure returns (uint256 found) {
        uint256 count = Elements.terms(row, 4);
        if (mask.length != 0 && mask.length != count) revert MalformedLeaf();
        found = start;
        for (uint256 term; term < count; ++term) {
            if (mask.length != 0 && mask[term] != 0x01) continue;
            uint256 own = rank(Binary32.read(Elements.wordAt(row, term)));
            if (own > found) found = own;
        }
    }

    /// @notice The largest rank · 2^32 + 2^32 - 1 - term, terms counted from `first` on, or `start` where that is larger.
    function largestTerm(bytes calldata row, uint256 first, uint256 start) internal pure returns (uint256 found) {
        uint256 count = Elements.terms(row, 4);
        if (first > type(uint32).max || first + count > 1 << 32) revert MalformedLeaf();
        found = start;
        for (uint256 term; term < count; ++term) {
            uint256 own = rank(Binary32.read(Elements.wordAt(row, term))) << 32 | (type(uint32).max - first - term);
            if (own > found) found = own;
        }
    }

    /// @notice The term of such a result.
    function termOf(uint256 found) internal pure returns (uint32) {
        return ~uint32(found);
    }
}
