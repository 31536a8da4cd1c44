"""Digests against eth-account's own EIP-712 encoder."""

from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.base import Contracts
from chain.typed_data import permit_digest, record_digest, registration_digest, round_result_digest
from protocol.ids import Address, ContentId, peer_id_bytes
from protocol.messages import RoundResult
from tests.chain.players import Player

ADA = Player("ada")
AT = [Address(Player(f"contract {number}").wallet) for number in range(11)]
CONTRACTS = Contracts(31337, *AT)
roots = st.binary(min_size=32, max_size=32).map(lambda raw: ContentId(raw.hex()))
rounds = st.integers(0, 2**64 - 1)


def reference(contract: str, kind: str, fields: str, message: dict) -> bytes:
    members = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")]
    domain = "string name,string version,uint256 chainId,address verifyingContract"
    encoded = encode_typed_data(
        full_message={
            "domain": {"name": "RL Swarm", "version": "1", "chainId": 31337, "verifyingContract": contract},
            "primaryType": kind,
            "types": {
                "EIP712Domain": [dict(zip(("type", "name"), f.split(), strict=True)) for f in domain.split(",")],
                kind: members,
            },
            "message": message,
        }
    )
    return keccak(b"\x19" + encoded.version + encoded.header + encoded.body)


@given(roots, st.text(max_size=20), rounds, roots)
def test_record_digests_are_eip_712(run, kind, round, content):
    expected = reference(
        AT[0],
        "Record",
        "bytes32 run,string kind,uint64 round,bytes32 content",
        {"run": bytes.fromhex(run), "kind": kind, "round": round, "content": bytes.fromhex(content)},
    )
    assert record_digest(CONTRACTS, run, kind, round, content) == expected


def test_registration_digests_are_eip_712():
    expected = reference(
        AT[0],
        "Registration",
        "bytes peerId,address signer,address wallet,uint256 nonce",
        {"peerId": peer_id_bytes(ADA.peer), "signer": ADA.signer, "wallet": ADA.wallet, "nonce": 3},
    )
    assert registration_digest(CONTRACTS, ADA.peer, ADA.signer, ADA.wallet, 3) == expected


@given(rounds, roots, roots, roots, roots, st.integers(0, 2**256 - 1))
def test_result_digests_are_eip_712(round, contributions, data, previous, credits, total):
    expected = reference(
        CONTRACTS.contributions,
        "RoundResult",
        "uint64 round,bytes32 contributionsRoot,bytes32 dataHash,bytes32 previousCreditsRoot,bytes32 creditsRoot,"
        "uint256 totalMicroCredits",
        {
            "round": round,
            "contributionsRoot": bytes.fromhex(contributions),
            "dataHash": bytes.fromhex(data),
            "previousCreditsRoot": bytes.fromhex(previous),
            "creditsRoot": bytes.fromhex(credits),
            "totalMicroCredits": total,
        },
    )
    assert round_result_digest(CONTRACTS, RoundResult(round, contributions, data, previous, credits, total)) == expected


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**64), st.integers(0, 2**256 - 1))
def test_permits_are_eip_712(amount, nonce, deadline):
    expected = reference(
        CONTRACTS.token,
        "Permit",
        "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
        {"owner": ADA.wallet, "spender": AT[7], "value": amount, "nonce": nonce, "deadline": deadline},
    )
    assert permit_digest(CONTRACTS, ADA.wallet, AT[7], amount, nonce, deadline) == expected
