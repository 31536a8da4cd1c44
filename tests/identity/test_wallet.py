import os
import stat

import pytest
from eth_account import Account

from identity.wallet import PASSWORD_VARIABLE, Wallet, create_wallet, open_wallet, wallet_address
from protocol.errors import IdentityError

SECRET = b"\x01" * 32
ADDRESS = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(IdentityError) as caught:
        call(*args, **kwargs)
    assert caught.value.exit_code == 3
    assert caught.value.next_step
    return str(caught.value)


def test_a_private_swarm_gets_a_wallet_that_opens_again_without_questions(tmp_path):
    path = tmp_path / "peer" / "wallet.json"
    first = open_wallet(path)
    assert open_wallet(path).address == first.address == wallet_address(path)
    assert sorted(os.listdir(path.parent)) == ["wallet.json", "wallet.password"]
    assert {stat.S_IMODE((path.parent / name).stat().st_mode) for name in os.listdir(path.parent)} == {0o600}
    assert len((path.parent / "wallet.password").read_text().strip()) >= 43


def test_a_given_password_is_used_and_no_password_file_is_made(tmp_path):
    path = tmp_path / "wallet.json"
    address = open_wallet(path, password="hunter2").address
    assert os.listdir(tmp_path) == ["wallet.json"]
    assert open_wallet(path, password="hunter2").address == address
    text = refusal(open_wallet, path, password="wrong")
    assert "does not open" in text
    assert "wrong" not in text
    assert PASSWORD_VARIABLE in refusal(open_wallet, path)


def test_the_given_password_wins_over_files(tmp_path):
    path = tmp_path / "wallet.json"
    open_wallet(path)
    assert "does not open" in refusal(open_wallet, path, password="another")


def test_a_named_password_file_is_used_up_to_its_newline(tmp_path):
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    path = tmp_path / "wallet.json"
    address = open_wallet(path, password_file=file).address
    assert open_wallet(path, password="correct horse").address == address
    assert not (tmp_path / "wallet.password").exists()
    file.chmod(0o644)
    assert "other users" in refusal(open_wallet, path, password_file=file)
    assert "cannot be read" in refusal(open_wallet, path, password_file=tmp_path / "none")
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    assert "not text" in refusal(open_wallet, path, password_file=file)


def test_a_password_left_by_an_interrupted_start_is_used(tmp_path):
    (tmp_path / "wallet.password").write_text("left over\n")
    (tmp_path / "wallet.password").chmod(0o600)
    address = open_wallet(tmp_path / "wallet.json").address
    assert open_wallet(tmp_path / "wallet.json", password="left over").address == address


def test_an_empty_password_makes_no_wallet(tmp_path):
    assert "empty" in refusal(open_wallet, tmp_path / "wallet.json", password="")
    assert not (tmp_path / "wallet.json").exists()


def test_a_wallet_is_never_overwritten(tmp_path):
    path = tmp_path / "wallet.json"
    create_wallet(path, "a", machine_made=True)
    before = path.read_bytes()
    assert "already is a file" in refusal(create_wallet, path, "a", machine_made=True)
    assert path.read_bytes() == before


def test_an_imported_key_keeps_its_address_and_opens_in_eth_account(tmp_path):
    path = tmp_path / "wallet.json"
    assert create_wallet(path, "pw", machine_made=True, secret=SECRET).address == ADDRESS
    assert Account.from_key(Account.decrypt(path.read_text(), "pw")).address == ADDRESS


def test_a_wallet_of_eth_account_opens(tmp_path):
    import json

    path = tmp_path / "wallet.json"
    path.write_text(json.dumps(Account.encrypt(SECRET, "pw", kdf="scrypt", iterations=4096)))
    path.chmod(0o600)
    assert open_wallet(path, password="pw").address == ADDRESS


@pytest.mark.parametrize("content", [b"not json", b"{}", b"-----BEGIN", b"x" * 20000])
def test_files_that_are_no_wallet_are_told_in_words(tmp_path, content):
    path = tmp_path / "wallet.json"
    path.write_bytes(content)
    path.chmod(0o600)
    refusal(open_wallet, path, password="pw")
    refusal(wallet_address, path)


def test_a_wallet_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "wallet.json"
    open_wallet(path)
    path.chmod(0o640)
    assert "other users" in refusal(open_wallet, path)


def test_the_key_is_never_shown():
    wallet = Wallet(SECRET)
    for text in (repr(wallet), str(wallet), f"{wallet!r}"):
        assert text == f"Wallet({ADDRESS})"
