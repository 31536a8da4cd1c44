// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {MalformedLeaf, NotANumber, Reason} from "./Refusal.sol";

/// @title Elements of tensors as they lie in trees
/// @notice Little-endian, one after the other: 4 bytes for F32 and I32, 2 for I16, 1 for U8.
library Elements {
    uint256 private constant LANES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant LOW_BITS = 0x7fffffff * LANES;
    uint256 private constant FIELDS = 0x7f800000 * LANES;
    uint256 private constant SIGNS = 0x80000000 * LANES;
    uint256 private constant LOWEST_FIELD_BIT = 0x00800000 * LANES;
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

    /// @notice Eight elements of 4 bytes from byte `offset` of a row on, the first one highest; 0 behind its end.
    function lanes(bytes calldata row, uint256 offset) internal pure returns (uint256 eight) {
        eight = cut(row, offset);
        return swapPairs(swapBytes(eight));
    }

    /// @notice 32 bytes from byte `offset` of a row on; 0 behind its end.
    function cut(bytes calldata row, uint256 offset) internal pure returns (uint256 word_) {
        assembly ("memory-safe") {
            word_ := calldataload(add(row.offset, offset))
        }
        unchecked {
            uint256 left = row.length - offset;
            if (left < 32) word_ &= ~(type(uint256).max >> (8 * left));
        }
    }

    /// @notice `Binary32.read` of eight patterns.
    function readLanes(uint256 eight) internal pure returns (uint256) {
        unchecked {
            uint256 fields = eight & FIELDS;
            // The lowest bit of a field, added to it, carries into the sign where the field is full.
            if ((fields + LOWEST_FIELD_BIT) & SIGNS != 0) revert NotANumber(Reason.NotFinite);
            // Anything but 0, with all lower bits added, carries there too.
            uint256 normal = ((fields + LOW_BITS) & SIGNS) >> 31;
            return eight & (normal * type(uint32).max);
        }
    }

    /// @notice All bits of each lane that is 0.
    function zeroLanes(uint256 eight) internal pure returns (uint256) {
        unchecked {
            uint256 highest = ~(((eight & LOW_BITS) + LOW_BITS) | eight | LOW_BITS);
            return (highest >> 31) * type(uint32).max;
        }
    }

    /// @notice The same 4 bytes in each lane, in the order in which they lie in a row.
    function repeated(uint32 element) internal pure returns (uint256) {
        unchecked {
            return swapPairs(swapBytes(element)) * LANES;
        }
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
