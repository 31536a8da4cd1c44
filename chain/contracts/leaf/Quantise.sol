// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {NotANumber, Reason} from "./Refusal.sol";
import {Rounding} from "./Rounding.sol";

/// @title Rows as signed 16-bit significands and one exponent
/// @notice `expo` of section 1 and `quantise` of section 4 of docs/exact-1.md. The largest magnitude of a row is found
/// by comparing keys: exponent and significand of x · 2^E in one integer, 0 for 0.
library Quantise {
    int256 internal constant BITS = 15;
    int256 private constant LARGEST = 32639;
    /// @dev Makes keys positive for every E that there is.
    int256 private constant KEY_BIAS = 4096;
    int256 private constant FIELD_BIAS = 126;
    uint256 private constant MAGNITUDES = 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff;

    /// @notice The key of a magnitude x, or `start` where that is larger.
    function key(uint256 magnitude, int256 start) internal pure returns (int256) {
        unchecked {
            if (magnitude == 0) return start;
            int256 found = int256(magnitude) + (KEY_BIAS << 23);
            return found > start ? found : start;
        }
    }

    /// @notice The largest magnitude among eight numbers, or `start` where that is larger.
    function largestMagnitude(uint256 eight, uint256 start) internal pure returns (uint256 largest) {
        largest = start;
        eight &= MAGNITUDES;
        assembly ("memory-safe") {
            for {} eight { eight := shl(32, eight) } {
                let x := shr(224, eight)
                if gt(x, largest) { largest := x }
            }
        }
    }

    /// @notice The largest key among eight numbers x · 2^E, or `start` where that is larger. `scales`: eight I32, E.
    function largestKey(uint256 eight, uint256 scales, int256 start) internal pure returns (int256 largest) {
        largest = start;
        eight &= MAGNITUDES;
        assembly ("memory-safe") {
            for {} eight {
                eight := shl(32, eight)
                scales := shl(32, scales)
            } {
                let x := shr(224, eight)
                if x {
                    let found := add(x, shl(23, add(sar(224, scales), KEY_BIAS)))
                    if sgt(found, largest) { largest := found }
                }
            }
        }
    }

    /// @notice The least e with x · 2^E < 2^e for the row's largest key. `raised`: one more where a significand of the
    /// row would be beyond 32639, which the largest one is if any is.
    function exponent(int256 largest, bool raised) internal pure returns (int256 e) {
        unchecked {
            if (largest == 0) return 0;
            e = (largest >> 23) - KEY_BIAS - FIELD_BIAS;
            uint256 m = (uint256(largest) & 0x7fffff) | 1 << 23;
            if (raised && int256(Rounding.nearest(m, 24 - BITS)) > LARGEST) ++e;
        }
    }

    /// @notice The integer nearest to x · 2^(scale + 15 - e), ties to even.
    /// @dev Reverts where it does not fit 16 bits, which no exponent of x's own row brings about.
    function significand(uint32 x, int256 scale, int256 e) internal pure returns (int256 q) {
        unchecked {
            (int256 m, int256 own) = Binary32.parts(x);
            int256 shift = e - BITS - scale - own;
            if (m != 0 && shift < 0) revert NotANumber(Reason.Overflow);
            q = int256(Rounding.nearest(uint256(m < 0 ? -m : m), shift));
            if (q > type(int16).max) revert NotANumber(Reason.Overflow);
            if (m < 0) q = -q;
        }
    }
}
