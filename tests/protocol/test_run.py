"""A run is its rules: any other rule is another run. A token is pasted by people and made by strangers."""

import base64
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import encode
from protocol.errors import ConfigError
from protocol.ids import Address, ContentId
from protocol.run import (
    AuditRules,
    EconomyRules,
    FamilySpec,
    GameRules,
    JoinToken,
    LearnRules,
    RunContracts,
    RunSpec,
    TaskSpec,
    TimeRules,
    format_token,
    least_unbonding_s,
    parse_token,
)

SPEC = RunSpec(
    name="private",
    chain_id=31337,
    model=ContentId("ab" * 32),
    task=TaskSpec("sums", "1", (FamilySpec("chain_sum", 1, '{"max_terms":2}'),), 8),
    game=GameRules(16, 8, 32, 32, 32, 1000, 8),
    learn=LearnRules(8, 2, 300_000, 200_000_000, 280_000_000, 4_000_000_000, 0, 0, 1_000_000_000),
    time=TimeRules(60, 60, 10, 300),
    audit=AuditRules("native", 2, 1, 3, 16, 20_000, 3),
    economics=EconomyRules(
        10**7, 10**7, 10**12, 10**11, 48, 10, 60, 60, 60, 3600, 4, 16, 50_000, 8, 100, 500, 150, 60, 30, 10**6
    ),
    seed=7,
)
CONTRACTS = RunContracts(*(Address("0x" + digit * 40) for digit in "123456789ab"))
TOKEN = JoinToken(SPEC, CONTRACTS, ("/ip4/127.0.0.1/tcp/4001/p2p/QmA",), ("http://127.0.0.1:8545",), "tiny")


def packed(raw: bytes) -> str:
    return "swarm1-" + base64.urlsafe_b64encode(zlib.compress(raw)).decode().rstrip("=")


def test_stake_is_liable_until_a_lie_of_the_last_round_is_found():
    assert least_unbonding_s(SPEC.time, SPEC.audit, SPEC.economics) == 5 * 300 + 30 + 3 * 60

    def of(unbonding_s: int) -> RunSpec:
        return msgspec.structs.replace(
            SPEC, economics=msgspec.structs.replace(SPEC.economics, unbonding_s=unbonding_s)
        )

    of(1710).require_liable_stake()
    with pytest.raises(ConfigError, match="liable for 1709 s, and a lie may be found up to 1710 s later"):
        of(1709).require_liable_stake()


def test_a_run_has_this_id_for_ever():
    assert SPEC.id == "bce031d76e880504d4524c61f6de5dc32389ea75c4fae50a5eb0acb466c15db4"


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(SPEC, seed=8),
        msgspec.structs.replace(SPEC, name="Private"),
        msgspec.structs.replace(SPEC, chain_id=1),
        msgspec.structs.replace(SPEC, game=msgspec.structs.replace(SPEC.game, num_samples=9)),
        msgspec.structs.replace(SPEC, learn=msgspec.structs.replace(SPEC.learn, learning_rate_nano=300_001)),
        msgspec.structs.replace(SPEC, time=msgspec.structs.replace(SPEC.time, poster_s=11)),
        msgspec.structs.replace(SPEC, audit=msgspec.structs.replace(SPEC.audit, num_auditors=2)),
        msgspec.structs.replace(SPEC, economics=msgspec.structs.replace(SPEC.economics, quorum_size=49)),
        msgspec.structs.replace(SPEC, game=msgspec.structs.replace(SPEC.game, length_milli=1)),
        msgspec.structs.replace(SPEC, wire_version=SPEC.wire_version + 1),
    ],
)
def test_whoever_plays_by_another_rule_is_in_another_run(other):
    assert other.id != SPEC.id


def test_a_token_comes_back_as_it_was():
    line = format_token(TOKEN)
    assert "\n" not in line
    assert parse_token(line) == TOKEN


def test_a_token_that_a_terminal_wrapped_is_read_all_the_same():
    line = format_token(TOKEN)
    assert parse_token(f"  {line[:40]}\n   {line[40:90]}\r\n{line[90:]}\n") == TOKEN


@given(st.data())
def test_a_cut_or_changed_token_is_refused_in_words_or_means_the_same(data):
    line = format_token(TOKEN)
    position = data.draw(st.integers(0, len(line) - 1))
    changed = data.draw(st.sampled_from([line[:position], line[:position] + "A" + line[position + 1 :], line + "AAAA"]))
    try:
        assert parse_token(changed) == TOKEN
    except ConfigError as error:
        assert error.exit_code == 2
        assert "join token" in error.what
        assert "swarm host" in error.next_step


@pytest.mark.parametrize(
    "text",
    [
        "",
        "swarm1-",
        "/ip4/127.0.0.1/tcp/1/p2p/QmA",
        "swarm1-ö",
        "swarm1-" + "A" * 200_000,
        packed(b""),
        packed(b"\xc0"),
        packed(b"\x00" * 10_000_000),
        packed(encode(SPEC)),
        format_token(TOKEN) + "AAAA",
    ],
)
def test_what_is_not_a_token_is_refused_in_words(text):
    with pytest.raises(ConfigError) as caught:
        parse_token(text)
    assert "join token" in caught.value.what


@pytest.mark.parametrize(
    "run",
    [
        msgspec.structs.replace(SPEC, game=msgspec.structs.replace(SPEC.game, num_questions=10**9)),
        msgspec.structs.replace(SPEC, game=msgspec.structs.replace(SPEC.game, num_samples=0)),
        msgspec.structs.replace(SPEC, game=msgspec.structs.replace(SPEC.game, temperature_milli=-1)),
        msgspec.structs.replace(SPEC, learn=msgspec.structs.replace(SPEC.learn, learning_rate_nano=-5)),
        msgspec.structs.replace(SPEC, time=msgspec.structs.replace(SPEC.time, round_s=10**9)),
        msgspec.structs.replace(SPEC, model=ContentId("../../model")),
        msgspec.structs.replace(SPEC, seed=-1),
    ],
)
def test_a_token_with_rules_that_no_machine_could_follow_is_refused(run):
    with pytest.raises(ConfigError):
        parse_token(format_token(msgspec.structs.replace(TOKEN, run=run)))


def test_a_token_with_something_that_is_no_address_is_refused():
    contracts = msgspec.structs.replace(CONTRACTS, contributions=Address("0x12"))
    with pytest.raises(ConfigError):
        parse_token(format_token(msgspec.structs.replace(TOKEN, contracts=contracts)))


def test_a_token_of_another_wire_version_says_which():
    run = msgspec.structs.replace(SPEC, wire_version=8)
    with pytest.raises(ConfigError) as caught:
        parse_token(format_token(msgspec.structs.replace(TOKEN, run=run)))
    assert caught.value.what == "This swarm speaks wire version 8, this program speaks 7."
