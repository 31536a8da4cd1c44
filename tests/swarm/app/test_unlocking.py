"""Where a password comes from: environment, file, the file beside, a person; never from nowhere."""

import pytest

from identity.wallet import create_wallet
from protocol.errors import IdentityError
from swarm.app import unlocking


@pytest.fixture
def wallet(tmp_path):
    path = tmp_path / "wallet.json"
    return path, create_wallet(path, "hush", machine_made=True).address


@pytest.fixture
def person(monkeypatch):
    """Somebody at a terminal, who types the given answers."""
    answers, prompts = [], []

    def ask(prompt, stream=None):
        prompts.append(prompt)
        return answers.pop(0)

    monkeypatch.setattr(unlocking, "is_person_present", lambda: True)
    monkeypatch.setattr(unlocking.getpass, "getpass", ask)
    return answers, prompts


def test_the_label_tells_the_account_without_a_password(wallet):
    path, address = wallet
    assert unlocking.known_address(path, password=None, password_file=None) == address


def test_a_person_is_asked_for_the_password(wallet, person):
    path, address = wallet
    person[0].append("hush")
    assert unlocking.unlock(path, password=None, password_file=None).address == address
    assert person[1] == [f"Password of the wallet {path}: "]


def test_a_person_who_types_it_wrong_or_nothing_is_told(wallet, person):
    path, _ = wallet
    person[0].extend(["hash", ""])
    with pytest.raises(IdentityError, match="does not open"):
        unlocking.unlock(path, password=None, password_file=None)
    with pytest.raises(IdentityError, match="No password was given"):
        unlocking.unlock(path, password=None, password_file=None)


def test_nobody_is_asked_where_the_password_is_given(wallet, person, tmp_path):
    path, address = wallet
    assert unlocking.unlock(path, password="hush", password_file=None).address == address
    file = tmp_path / "password"
    file.write_text("hush\n")
    file.chmod(0o600)
    assert unlocking.unlock(path, password=None, password_file=file).address == address
    beside = path.with_name("wallet.password")
    file.rename(beside)
    assert unlocking.unlock(path, password=None, password_file=None).address == address
    assert person[1] == []


def test_without_a_terminal_nobody_is_asked(wallet, monkeypatch):
    monkeypatch.setattr(unlocking, "is_person_present", lambda: False)
    with pytest.raises(IdentityError, match="needs its password, and there is none"):
        unlocking.unlock(wallet[0], password=None, password_file=None)


def test_a_wallet_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(IdentityError, match="There is no wallet"):
        unlocking.unlock(tmp_path / "wallet.json", password="hush", password_file=None)
    assert list(tmp_path.iterdir()) == []


def test_a_new_wallet_gets_the_password_that_a_person_chooses(person, tmp_path):
    path = tmp_path / "wallet.json"
    person[0].extend(["long one", "long one"])
    made = unlocking.make_wallet(path, password=None, password_file=None)
    assert not path.with_name("wallet.password").exists()
    assert unlocking.unlock(path, password="long one", password_file=None).address == made.address


def test_two_different_passwords_make_no_wallet(person, tmp_path):
    person[0].extend(["long one", "long two"])
    with pytest.raises(IdentityError, match="differ"):
        unlocking.make_wallet(tmp_path / "wallet.json", password=None, password_file=None)
    assert list(tmp_path.iterdir()) == []


def test_an_onlooker_signs_nothing():
    with pytest.raises(AssertionError):
        unlocking.Onlooker("0x1").sign_transaction({})
