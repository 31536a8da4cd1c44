// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Counter-based random words
/// @notice Philox4x32-10 (Salmon et al. 2011), sections 7 and 9 of docs/exact-1.md.
library Noise {
    uint256 private constant WORD = 0xffffffff;
    uint256 private constant MULTIPLIER_0 = 0xD2511F53;
    uint256 private constant MULTIPLIER_1 = 0xCD9E8D57;
    uint256 private constant KEY_STEP_0 = 0x9E3779B9;
    uint256 private constant KEY_STEP_1 = 0xBB67AE85;
    uint256 private constant ROUNDS = 10;

    /// @notice Word `index` (0 to 3) for a 64-bit key, its low word first, and a counter of four 32-bit words.
    function philox(uint64 key, uint256[4] memory c, uint256 index) internal pure returns (uint32) {
        unchecked {
            uint256 k0 = key & WORD;
            uint256 k1 = key >> 32;
            (uint256 c0, uint256 c1, uint256 c2, uint256 c3) = (c[0], c[1], c[2], c[3]);
            for (uint256 i; i < ROUNDS; ++i) {
                uint256 p = MULTIPLIER_0 * c0;
                uint256 q = MULTIPLIER_1 * c2;
                (c0, c1, c2, c3) = ((q >> 32) ^ c1 ^ k0, q & WORD, (p >> 32) ^ c3 ^ k1, p & WORD);
                k0 = (k0 + KEY_STEP_0) & WORD;
                k1 = (k1 + KEY_STEP_1) & WORD;
            }
            return uint32(index == 0 ? c0 : index == 1 ? c1 : index == 2 ? c2 : c3);
        }
    }

    /// @notice The random word of one token at one position (section 7).
    function word(uint64 seed, uint32 position, uint32 token) internal pure returns (uint32) {
        return philox(seed, [uint256(token >> 2), position, 0, 0], token & 3);
    }
}
