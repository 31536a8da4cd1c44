import pytest
import yaml

from protocol.errors import ConfigError
from protocol.run import format_token
from swarm.settings.joining import is_multiaddress, read_join_file, with_addresses, write_join_file
from tests.protocol.test_run import TOKEN


def test_what_is_written_is_read_back_and_people_can_read_it(tmp_path):
    path = tmp_path / "new" / "join.yaml"
    write_join_file(path, TOKEN)
    assert read_join_file(path) == TOKEN
    body = yaml.safe_load(path.read_text())
    assert (body["run_id"], body["chain_id"], body["task"], body["model"]) == (TOKEN.run.id, 31337, "sums", "tiny")
    assert (body["bootnodes"], body["rpc"]) == (list(TOKEN.bootnodes), list(TOKEN.rpc))


def test_only_the_token_counts(tmp_path):
    path = tmp_path / "join.yaml"
    path.write_text(yaml.safe_dump({"token": format_token(TOKEN), "rpc": ["http://elsewhere"]}))
    assert read_join_file(path) == TOKEN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"token",
        b"token: 7",
        b"tokens: x",
        b"- token",
        b"{",
        b"\xff\xfe",
        b"a: &a [*a]",
        b"x" * 300_000,
        b"token: swarm1-x",
    ],
)
def test_a_damaged_file_is_refused_in_words(tmp_path, content):
    path = tmp_path / "join.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_join_file(path)
    assert caught.value.so_what == "Nothing was started."
    assert "swarm host" in caught.value.next_step


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="There is no") as caught:
        read_join_file(tmp_path / "join.yaml")
    assert "--join TOKEN" in caught.value.next_step
    with pytest.raises(ConfigError, match="cannot be read"):
        read_join_file(tmp_path)


def test_other_addresses_are_still_the_same_swarm():
    there = "/ip4/192.0.2.7/tcp/1/p2p/QmB"
    found = with_addresses(TOKEN, [there], ["http://192.0.2.7:2"])
    assert (found.run, found.contracts, found.model_name) == (TOKEN.run, TOKEN.contracts, TOKEN.model_name)
    assert (found.bootnodes, found.rpc) == ((there,), ("http://192.0.2.7:2",))
    assert with_addresses(TOKEN, [], []) == TOKEN


def test_addresses_and_tokens_are_told_apart():
    assert is_multiaddress("/ip4/127.0.0.1/tcp/1/p2p/QmB")
    assert not is_multiaddress(format_token(TOKEN))
