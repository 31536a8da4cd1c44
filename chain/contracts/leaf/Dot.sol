// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Elements} from "./Elements.sol";
import {MalformedLeaf} from "./Refusal.sol";

/// @title Exact sums of products of two quantised rows
/// @notice The integer C of section 4 of docs/exact-1.md, or the part of it that these terms are.
library Dot {
    /// @notice Sum of a_k · b_k over two rows of I16.
    function product(bytes calldata a, bytes calldata b) internal pure returns (int256 total) {
        if (a.length != b.length || a.length % 2 != 0) revert MalformedLeaf();
        uint256 whole = a.length & ~uint256(31);
        for (uint256 offset; offset < whole; offset += 32) total += _products(_lanes(a, offset), _lanes(b, offset));
        if (whole == a.length) return total;
        // What lies behind the row does not count: zeros in one factor are enough.
        uint256 beyond = type(uint256).max >> (8 * (a.length - whole));
        total += _products(_lanes(a, whole) & ~beyond, _lanes(b, whole));
    }

    /// @dev 16 significands, most significant byte first, from byte `offset` on.
    function _lanes(bytes calldata row, uint256 offset) private pure returns (uint256 lanes) {
        assembly ("memory-safe") {
            lanes := calldataload(add(row.offset, offset))
        }
        return Elements.swapBytes(lanes);
    }

    function _products(uint256 x, uint256 y) private pure returns (int256 total) {
        assembly ("memory-safe") {
            for { let lane := 0 } lt(lane, 16) { lane := add(lane, 4) } {
                total := add(total, mul(signextend(1, x), signextend(1, y)))
                total := add(total, mul(signextend(1, shr(16, x)), signextend(1, shr(16, y))))
                total := add(total, mul(signextend(1, shr(32, x)), signextend(1, shr(32, y))))
                total := add(total, mul(signextend(1, shr(48, x)), signextend(1, shr(48, y))))
                x := shr(64, x)
                y := shr(64, y)
            }
        }
    }
}
