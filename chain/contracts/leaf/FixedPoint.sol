// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {Elements} from "./Elements.sol";
import {Rounding} from "./Rounding.sol";

/// @title Sums of numbers as sums of integers
/// @notice Section 3 of docs/exact-1.md.
library FixedPoint {
    /// @notice Width of the integers that a sum adds up.
    int256 internal constant BITS = 36;

    /// @notice The integer nearest to x · 2^(36 - e), ties to even. `e` is at least `expo` of x.
    function units(uint32 x, int256 e) internal pure returns (int256) {
        unchecked {
            (int256 m, int256 own) = Binary32.parts(x);
            uint256 q = Rounding.nearest(uint256(m < 0 ? -m : m), e - BITS - own);
            return m < 0 ? -int256(q) : int256(q);
        }
    }

    /// @notice The sum of these integers over a row of F32.
    function sum(bytes calldata row, int256 e) internal pure returns (int256 total) {
        uint256 count = Elements.terms(row, 4);
        for (uint256 term; term < count; ++term) total += units(Binary32.read(Elements.wordAt(row, term)), e);
    }
}
