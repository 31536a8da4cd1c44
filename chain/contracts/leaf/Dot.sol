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
        unchecked {
            for (uint256 offset; offset < a.length; offset += 32) {
                uint256 x = Elements.swapBytes(Elements.cut(a, offset));
                total += _products(x, Elements.swapBytes(Elements.cut(b, offset)));
            }
        }
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
