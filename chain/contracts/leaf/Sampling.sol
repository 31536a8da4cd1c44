// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title The largest of a row, and where it is
/// @notice Sections 2 and 7 of docs/exact-1.md: among equals the lowest index first. Ranks are integers in the order of
/// the numbers, from 1 on; 0 stands for no number. A place is rank · 2^32 + 2^32 - 1 - term, so that the largest place
/// is the largest number's first one.
library Sampling {
    uint256 private constant SIGNS = 0x8000000080000000800000008000000080000000800000008000000080000000;

    /// @notice The largest place among eight numbers, the highest lane is term `first`, or `start` where that is larger.
    /// @param chosen Eight bytes, the first one highest in 256 bits: 1 where the number counts.
    function largestPlace(uint256 eight, uint256 chosen, uint256 first, uint256 start)
        internal
        pure
        returns (uint256 largest)
    {
        largest = start;
        unchecked {
            // As unsigned integers in order: positive numbers above, negative ones in reverse below.
            eight ^= SIGNS | (((eight & SIGNS) >> 31) * 0x7fffffff);
        }
        assembly ("memory-safe") {
            // A rank is one more than that integer.
            let place := add(0x100000000, sub(0xffffffff, first))
            for {} chosen {
                eight := shl(32, eight)
                chosen := shl(8, chosen)
                place := sub(place, 1)
            } {
                if eq(byte(0, chosen), 1) {
                    let found := add(shl(32, shr(224, eight)), place)
                    if gt(found, largest) { largest := found }
                }
            }
        }
    }

    /// @notice The number of a rank; 0 for rank 0.
    function ranked(uint256 rank) internal pure returns (uint32) {
        unchecked {
            if (rank == 0) return 0;
            uint32 flipped = uint32(rank - 1);
            return flipped >> 31 == 1 ? flipped ^ (1 << 31) : ~flipped;
        }
    }

    /// @notice The term of a place.
    function termOf(uint256 place) internal pure returns (uint32) {
        return ~uint32(place);
    }
}
