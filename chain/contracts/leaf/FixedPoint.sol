// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Sums of numbers as sums of integers
/// @notice Section 3 of docs/exact-1.md.
library FixedPoint {
    /// @notice Width of the integers that a sum adds up.
    int256 internal constant BITS = 36;

    /// @dev Exponent of the last place of the pattern with exponent field 0.
    int256 private constant PLACE_BIAS = 150;

    /// @notice Sum of the integers nearest to x · 2^(36 - e), ties to even, over eight numbers. `e` is at least their
    /// `expo`: both sides have agreed on it before.
    function sum(uint256 eight, int256 e) internal pure returns (int256 total) {
        int256 base;
        unchecked {
            base = e + PLACE_BIAS - BITS;
        }
        assembly ("memory-safe") {
            for {} eight { eight := shl(32, eight) } {
                let x := shr(224, eight)
                if x {
                    let q := or(and(x, 0x7fffff), 0x800000)
                    let shift := sub(base, and(shr(23, x), 0xff))
                    switch sgt(shift, 0)
                    case 0 { q := shl(sub(0, shift), q) }
                    default {
                        // Almost one half is added, and a little more where that makes a tie even.
                        let almost := sub(shl(sub(shift, 1), 1), 1)
                        q := shr(shift, add(add(q, almost), and(shr(shift, q), 1)))
                    }
                    switch shr(31, x)
                    case 0 { total := add(total, q) }
                    default { total := sub(total, q) }
                }
            }
        }
    }
}
