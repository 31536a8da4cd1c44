// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {MalformedLeaf} from "./Refusal.sol";

/// @title Elements of tensors as they lie in trees
/// @notice Little-endian, one after the other: 4 bytes for F32 and I32, 2 for I16, 1 for U8.
library Elements {
    uint256 private constant ODD_BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant ODD_PAIRS = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;

    /// @notice The only element, of 4 bytes.
    function word(bytes calldata input) internal pure returns (uint32) {
        if (input.length != 4) revert MalformedLeaf();
        return wordAt(input, 0);
    }

    /// @notice The only element as a number of exact/1.
    function number(bytes calldata input) internal pure returns (uint32) {
        return Binary32.read(word(input));
    }

    /// @notice The only element as a signed integer.
    function integer(bytes calldata input) internal pure returns (int256) {
        return int32(word(input));
    }

    /// @notice Whether the only element, of 1 byte, is 1.
    function flag(bytes calldata input) internal pure returns (bool) {
        if (input.length != 1) revert MalformedLeaf();
        return input[0] == 0x01;
    }

    /// @notice The only element, of `size` bytes, as it is.
    function raw(bytes calldata input, uint256 size) internal pure returns (uint32 element) {
        if (input.length != size) revert MalformedLeaf();
        return narrowed(wordAt(input, 0), size);
    }

    /// @notice The lowest `size` bytes.
    function narrowed(uint32 x, uint256 size) internal pure returns (uint32) {
        return uint32(x & ((1 << (8 * size)) - 1));
    }

    /// @notice Element `index` of a row of 4-byte elements.
    /// @dev The caller has compared `index` with `terms`.
    function wordAt(bytes calldata row, uint256 index) internal pure returns (uint32 element) {
        uint256 big;
        assembly ("memory-safe") {
            big := shr(224, calldataload(add(row.offset, shl(2, index))))
        }
        return uint32(swapPairs(swapBytes(big)));
    }

    /// @notice How many elements of `size` bytes a row has.
    function terms(bytes calldata row, uint256 size) internal pure returns (uint256) {
        if (row.length % size != 0) revert MalformedLeaf();
        return row.length / size;
    }

    /// @notice The two bytes of each of 16 lanes exchanged.
    function swapBytes(uint256 x) internal pure returns (uint256) {
        return ((x >> 8) & ODD_BYTES) | ((x & ODD_BYTES) << 8);
    }

    /// @notice The two halves of each of 8 lanes exchanged.
    function swapPairs(uint256 x) internal pure returns (uint256) {
        return ((x >> 16) & ODD_PAIRS) | ((x & ODD_PAIRS) << 16);
    }
}
