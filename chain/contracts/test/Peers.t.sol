// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {PeerRegistry} from "../PeerRegistry.sol";
import {Signature} from "../RunTypes.sol";
import {Bench, Vm} from "./Bench.sol";

contract PeersTest is Bench {
    function _take(Player memory player, address wallet, uint256 nonce, Signature memory proof) private {
        Vm.Wallet memory key = vm.createWallet(player.secret);
        vm.prank(wallet);
        registry.registerSecp256k1(bytes32(key.publicKeyX), bytes32(key.publicKeyY), nonce, proof.r, proof.vs);
    }

    function _refuseTaking(bytes4 reason, Player memory player, address wallet, uint256 nonce, Signature memory proof)
        private
    {
        Vm.Wallet memory key = vm.createWallet(player.secret);
        vm.prank(wallet);
        _refused(reason);
        registry.registerSecp256k1(bytes32(key.publicKeyX), bytes32(key.publicKeyY), nonce, proof.r, proof.vs);
    }

    function test_anIdentityIsRegisteredByItsKeyForOneWallet() public {
        Player memory ada = _player(1);
        Signature memory proof = _registration(ada, ada.secret, ada.signer, ada.wallet, 0);
        _refuseTaking(PeerRegistry.ProofRejected.selector, ada, STRANGER, 0, proof);
        _refuseTaking(PeerRegistry.NonceMismatch.selector, ada, ada.wallet, 1, proof);
        Signature memory foreign = _registration(ada, _player(2).secret, ada.signer, ada.wallet, 0);
        _refuseTaking(PeerRegistry.ProofRejected.selector, ada, ada.wallet, 0, foreign);
        _take(ada, ada.wallet, 0, proof);
        require(registry.ownerOf(ada.peerKey) == ada.wallet && registry.signerOf(ada.peerKey) == ada.signer);
        require(keccak256(registry.peer(ada.peerKey).peerId) == ada.peerKey);
        _refuseTaking(PeerRegistry.PeerAlreadyRegistered.selector, ada, ada.wallet, 1, proof);
        _refuseTaking(PeerRegistry.PeerOwnedByAnother.selector, ada, STRANGER, 1, proof);
    }

    function test_aHighSIsNoSecondSignature() public {
        Player memory ada = _player(1);
        Signature memory proof = _registration(ada, ada.secret, ada.signer, ada.wallet, 0);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        uint256 s = uint256(proof.vs) & (type(uint256).max >> 1);
        uint256 flipped = (uint256(proof.vs) >> 255) ^ 1;
        require(order - s >= 1 << 255 || order - s > order / 2);
        proof.vs = bytes32((order - s) | (flipped << 255));
        _refuseTaking(PeerRegistry.ProofRejected.selector, ada, ada.wallet, 0, proof);
    }

    function test_onlyRsaKeysOf2048BitsAreRegistered() public {
        bytes memory modulus = new bytes(128);
        _refused(PeerRegistry.ModulusUnsupported.selector);
        registry.registerRsa(modulus, STRANGER, 0, modulus, 0, 0);
        modulus = new bytes(256);
        _refused(PeerRegistry.ModulusUnsupported.selector);
        registry.registerRsa(modulus, STRANGER, 0, modulus, 0, 0);
    }

    function test_anRsaIdentityHasToDelegate() public {
        Player memory ada = _player(1);
        bytes memory modulus = new bytes(256);
        modulus[0] = 0xff;
        modulus[255] = 0x01;
        bytes memory key = bytes.concat(
            hex"080012a60230820122300d06092a864886f70d01010105000382010f003082010a0282010100", modulus, hex"0203010001"
        );
        ada.peerId = abi.encodePacked(bytes2(0x1220), sha256(key));
        Signature memory proof = _registration(ada, ada.secret, ada.signer, ada.wallet, 0);
        vm.prank(ada.wallet);
        _refused(PeerRegistry.DelegationRejected.selector);
        registry.registerRsa(modulus, ada.signer, 0, new bytes(256), proof.r, proof.vs);
    }

    function _rotate(Player memory ada, uint256 secret, uint256 nonce) private {
        address signer = vm.addr(secret);
        Signature memory proof = _registration(ada, secret, signer, ada.wallet, nonce);
        vm.prank(ada.wallet);
        registry.rotateSigner(ada.peerKey, signer, nonce, proof.r, proof.vs);
    }

    function test_aSignerIsReplacedAndStaysLiable() public {
        Player memory ada = _register(1);
        _rotate(ada, 111, 1);
        require(registry.signerOf(ada.peerKey) == vm.addr(111) && registry.peer(ada.peerKey).nonce == 2);
        require(registry.isSigner(ada.peerKey, vm.addr(111)) && registry.isSigner(ada.peerKey, ada.signer));
        require(!registry.isSigner(ada.peerKey, STRANGER) && !registry.isSigner(ada.peerKey, address(0)));
        _pass(1 hours);
        require(registry.isSigner(ada.peerKey, vm.addr(111)) && !registry.isSigner(ada.peerKey, ada.signer));
        require(registry.peerKeyOf(ada.signer) == ada.peerKey && registry.peerKeyOf(vm.addr(111)) == ada.peerKey);
    }

    function test_onlyTheOwnerRotatesToAFreeSignerThatAgrees() public {
        Player memory ada = _register(1);
        Player memory ben = _register(2);
        Signature memory proof = _registration(ada, 111, vm.addr(111), ada.wallet, 1);
        _refused(PeerRegistry.NotThePeersOwner.selector);
        registry.rotateSigner(ada.peerKey, vm.addr(111), 1, proof.r, proof.vs);
        vm.startPrank(ada.wallet);
        _refused(PeerRegistry.NonceMismatch.selector);
        registry.rotateSigner(ada.peerKey, vm.addr(111), 0, proof.r, proof.vs);
        _refused(PeerRegistry.ProofRejected.selector);
        registry.rotateSigner(ada.peerKey, vm.addr(112), 1, proof.r, proof.vs);
        _refused(PeerRegistry.SignerTaken.selector);
        registry.rotateSigner(ada.peerKey, ben.signer, 1, proof.r, proof.vs);
        _refused(PeerRegistry.SignerTaken.selector);
        registry.rotateSigner(ada.peerKey, ada.signer, 1, proof.r, proof.vs);
        registry.rotateSigner(ada.peerKey, vm.addr(111), 1, proof.r, proof.vs);
        _refused(PeerRegistry.NonceMismatch.selector);
        registry.rotateSigner(ada.peerKey, vm.addr(111), 1, proof.r, proof.vs);
        vm.stopPrank();
    }

    function test_aSignerCannotRegisterAnIdentityOfItsOwnLater() public {
        Player memory ada = _register(1);
        Player memory ben = _player(2);
        _rotate(ada, ben.secret, 1);
        Signature memory proof = _registration(ben, ben.secret, ben.signer, ben.wallet, 0);
        _refuseTaking(PeerRegistry.SignerTaken.selector, ben, ben.wallet, 0, proof);
    }

    function test_aPeerIsTransferredInTwoSteps() public {
        Player memory ada = _register(1);
        _refused(PeerRegistry.NotThePeersOwner.selector);
        registry.offerPeer(ada.peerKey, STRANGER);
        vm.prank(ada.wallet);
        registry.offerPeer(ada.peerKey, STRANGER);
        require(registry.offeredTo(ada.peerKey) == STRANGER && registry.ownerOf(ada.peerKey) == ada.wallet);
        _refused(PeerRegistry.PeerNotOffered.selector);
        registry.acceptPeer(ada.peerKey);
        vm.prank(STRANGER);
        registry.acceptPeer(ada.peerKey);
        require(registry.ownerOf(ada.peerKey) == STRANGER && registry.offeredTo(ada.peerKey) == address(0));
        vm.prank(STRANGER);
        _refused(PeerRegistry.PeerNotOffered.selector);
        registry.acceptPeer(ada.peerKey);
    }

    function test_anOfferIsTakenBack() public {
        Player memory ada = _register(1);
        vm.startPrank(ada.wallet);
        registry.offerPeer(ada.peerKey, STRANGER);
        registry.offerPeer(ada.peerKey, address(0));
        vm.stopPrank();
        vm.prank(STRANGER);
        _refused(PeerRegistry.PeerNotOffered.selector);
        registry.acceptPeer(ada.peerKey);
    }

    function test_nobodyAcceptsAPeerThatIsNotThere() public {
        vm.prank(address(0));
        registry.acceptPeer(keccak256("nobody")); // only the zero address could, and owns it already
        require(registry.ownerOf(keccak256("nobody")) == address(0));
    }

    function testFuzz_onlyTheWalletThatWasSignedForRegisters(address other, uint128 number, uint64 nonce) public {
        Player memory player = _player(number);
        vm.assume(other != player.wallet && nonce != 0 && other != address(0));
        Signature memory proof = _registration(player, player.secret, player.signer, player.wallet, 0);
        _refuseTaking(PeerRegistry.ProofRejected.selector, player, other, 0, proof);
        _refuseTaking(PeerRegistry.NonceMismatch.selector, player, player.wallet, nonce, proof);
        _take(player, player.wallet, 0, proof);
        require(registry.ownerOf(player.peerKey) == player.wallet);
    }
}
