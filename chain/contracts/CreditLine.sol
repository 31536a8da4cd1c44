// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title One peer's line of the credits tree
/// @notice Everything a peer ever earned and how it behaved, in one word, so that one proof shows all of it.
/// @dev micro (64 bits, highest) | standing in thousandths (16) | last round (40) | rounds (40) | audits passed (32) |
/// audits failed (32) | late rounds (32). The leaf is keccak256(keccak256(abi.encode(bytes32 peerKey, uint256 line))),
/// hashed twice so that no inner node can be passed off as a leaf.
library CreditLine {
    /// @notice Everything the peer ever earned, in millionths of a credit.
    function micro(uint256 line) internal pure returns (uint256) {
        return line >> 192;
    }

    /// @notice The peer's standing, 0 to 1000.
    function standing(uint256 line) internal pure returns (uint256) {
        return uint16(line >> 176);
    }

    /// @notice The last round that the peer contributed to.
    function lastRound(uint256 line) internal pure returns (uint64) {
        return uint40(line >> 136);
    }

    /// @notice Whether `line` is the peer's line in the table behind `root`.
    /// @dev OpenZeppelin's `MerkleProof.verifyCalldata` on its standard leaf, at half of the gas: a claim is little else.
    function isIn(bytes32 root, bytes32 peerKey, uint256 line, bytes32[] calldata proof) internal pure returns (bool found) {
        assembly ("memory-safe") {
            mstore(0x00, peerKey)
            mstore(0x20, line)
            mstore(0x00, keccak256(0x00, 0x40))
            let node := keccak256(0x00, 0x20)
            let end := add(proof.offset, shl(5, proof.length))
            for { let at := proof.offset } lt(at, end) { at := add(at, 0x20) } {
                let sibling := calldataload(at)
                let place := shl(5, gt(node, sibling)) // the smaller one goes first
                mstore(place, node)
                mstore(xor(place, 0x20), sibling)
                node := keccak256(0x00, 0x40)
            }
            found := eq(node, root)
        }
    }
}
