// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Sums of numbers as sums of integers
/// @notice Section 3 of docs/exact-1.md.
library FixedPoint {
    /// @notice Width of the integers that a sum adds up.
    int256 internal constant BITS = 36;

    /// @dev Exponent of the last place of the pattern with exponent field 0.
    int256 private constant PLACE_BIAS = 150;
    /// @dev Bits behind a significand, so that no number below 2^e must be shifted to the left.
    int256 private constant SPARE = 13;

    /// @notice Sum of the integers nearest to x · 2^(36 - e), ties to even, over eight numbers.
    /// @dev `e` is at least their `expo`: both sides agreed on it before. For a lower one the result means nothing.
    function sum(uint256 eight, int256 e) internal pure returns (int256 total) {
        int256 base;
        unchecked {
            base = e + PLACE_BIAS + SPARE - BITS;
        }
        assembly ("memory-safe") {
            for {} eight { eight := shl(32, eight) } {
                let x := shr(224, eight)
                let field := and(shr(23, x), 0xff)
                let shift := sub(base, field)
                let q := shl(SPARE, or(and(x, 0x7fffff), shl(23, gt(field, 0))))
                // Almost one half is added, and a little more where that makes a tie even.
                let almost := sub(shl(sub(shift, 1), 1), 1)
                q := shr(shift, add(add(q, almost), and(shr(shift, q), 1)))
                total := add(total, mul(q, sub(1, shl(1, shr(31, x)))))
            }
        }
    }
}
