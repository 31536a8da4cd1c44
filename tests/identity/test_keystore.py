import json

import eth_keyfile
import pytest

from identity.keystore import (
    LIGHT,
    MAX_SCRYPT_BYTES,
    STRONG,
    Cost,
    NotAKeystore,
    WrongPassword,
    keystore_address,
    open_key,
    seal_key,
)

SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
TINY = Cost(n=2, r=8, p=1)

# The two test vectors of the Web3 Secret Storage definition (password "testpassword").
PBKDF2_VECTOR = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
SCRYPT_VECTOR = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "r": 1,
            "p": 8,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def sealed(cost=TINY, password="pass wörd") -> dict:
    data = seal_key(SECRET, password, salt=b"\x05" * 32, iv=b"\x06" * 16, uuid=b"\x07" * 16, cost=cost)
    return json.loads(data)


def refusal(keystore, password="pass wörd") -> str:
    data = keystore if isinstance(keystore, bytes) else json.dumps(keystore).encode()
    with pytest.raises(NotAKeystore) as caught:
        open_key(data, password)
    return str(caught.value)


@pytest.mark.parametrize("vector", [PBKDF2_VECTOR, SCRYPT_VECTOR], ids=["pbkdf2", "scrypt"])
def test_the_definitions_own_vectors_open(vector):
    assert open_key(json.dumps(vector).encode(), "testpassword") == SECRET


def test_other_wallets_open_ours():
    assert eth_keyfile.decode_keyfile_json(sealed(LIGHT), "pass wörd".encode()) == SECRET
    assert eth_keyfile.decode_keyfile_json(sealed(STRONG), "pass wörd".encode()) == SECRET


@pytest.mark.parametrize(("kdf", "work"), [("scrypt", 4096), ("pbkdf2", 1000)])
def test_ours_opens_what_other_wallets_write(kdf, work):
    theirs = eth_keyfile.create_keyfile_json(SECRET, b"secret", kdf=kdf, iterations=work)
    assert open_key(json.dumps(theirs).encode(), "secret") == SECRET
    shouting = json.loads(json.dumps(theirs).replace('"crypto"', '"Crypto"').replace('"version"', '"Version"'))
    assert open_key(json.dumps(shouting).encode(), "secret") == SECRET


def test_the_label_is_read_without_the_password():
    assert keystore_address(json.dumps(sealed()).encode()) == "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b"
    assert keystore_address(json.dumps(PBKDF2_VECTOR).encode()) is None


def test_our_costs_stay_far_below_64_megabytes():
    for cost in (LIGHT, STRONG):
        assert 128 * cost.n * cost.r <= 32 * 1024 * 1024


def test_a_wrong_password_is_told_apart_from_a_broken_file():
    data = json.dumps(sealed()).encode()
    for password in ("", "pass word", "pass wörd "):
        with pytest.raises(WrongPassword):
            open_key(data, password)


def test_a_file_that_lies_about_its_account_is_refused():
    assert "holds another key" in refusal(sealed() | {"address": "00" * 20})


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("version",), 4, "version 4"),
        (("crypto", "cipher"), "aes-256-gcm", "aes-128-ctr"),
        (("crypto", "ciphertext"), "00" * 31, "32-byte key"),
        (("crypto", "cipherparams", "iv"), "00" * 15, "32-byte key"),
        (("crypto", "mac"), "zz", "hexadecimal"),
        (("crypto", "kdf"), "argon2id", "argon2id"),
        (("crypto", "kdfparams", "n"), 2**30, "memory"),
        (("crypto", "kdfparams", "n"), 2**200, "no sense"),
        (("crypto", "kdfparams", "n"), 3, "no sense"),
        (("crypto", "kdfparams", "n"), 0, "no sense"),
        (("crypto", "kdfparams", "r"), 2**31, "memory"),
        (("crypto", "kdfparams", "p"), 2**31, "memory"),
        (("crypto", "kdfparams", "p"), -1, "no sense"),
        (("crypto", "kdfparams", "dklen"), 2**31, "no sense"),
        (("crypto", "kdfparams", "dklen"), 16, "no sense"),
        (("crypto", "kdfparams", "salt"), "00" * 10000, "larger than"),
        (("crypto", "kdfparams"), {"dklen": 32, "salt": "00", "c": 10**12, "prf": "hmac-sha256"}, "no sense"),
        (("crypto",), None, "not a keystore"),
        (("crypto", "kdfparams", "n"), "many", "not a keystore"),
    ],
)
def test_hostile_fields_are_refused_before_any_work_is_done(path, value, why):
    keystore = sealed()
    at = keystore
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    assert why in refusal(keystore)


def test_hostile_pbkdf2_rounds_are_refused():
    keystore = json.loads(json.dumps(PBKDF2_VECTOR))
    keystore["crypto"]["kdfparams"]["c"] = 10**12
    assert "rounds" in refusal(keystore)
    keystore["crypto"]["kdfparams"]["prf"] = "hmac-md5"
    assert "not known" in refusal(keystore)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000, b'{"crypto": 1}', b"x" * 20000])
def test_bytes_that_are_no_keystore_are_refused(data):
    assert refusal(data)


def test_the_memory_cap_admits_the_standard_file_of_geth():
    assert MAX_SCRYPT_BYTES == 128 * 2**18 * 8
