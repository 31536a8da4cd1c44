import json

import pytest

from protocol.events import RecordRejected, Stopped, TransactionSent
from swarm.observe.eventlog import EventLog
from swarm.observe.summary import summary
from tests.swarm.observe import playback
from tests.swarm.observe.playback import START_AT, content, micro, peer_id, round_right


def test_three_good_rounds_sum_up(tmp_path):
    playback.write(tmp_path, num_rounds=3)
    told = summary(tmp_path)
    assert json.loads(json.dumps(told)) == told
    assert told["rounds"] == 3
    assert told["contributions"] == {
        "signed": 9,
        "rescored": 9,
        "verified": 6,
        "struck": 0,
        "rejected": 0,
        "settled": 9,
    }
    assert told["rejections"] == {}
    assert [one["rounds_completed"] for one in told["peers"]] == [3, 3, 3]
    assert [one["peer_id"] for one in told["peers"]] == [peer_id(0), peer_id(1), peer_id(2)]
    assert set(told["peers"][0]) >= {
        "nickname", "peer_id", "address", "registered", "rounds_completed", "credits", "claimed",
    }  # fmt: skip
    assert told["peers"][0]["registered"] is True
    earned = sum(micro(0, number) for number in (1, 2, 3))
    assert (told["peers"][0]["credits_micro"], told["peers"][0]["credits"]) == (earned, earned / 1e6)
    assert told["eval"]["first"] == pytest.approx(sum(round_right(peer, 0) for peer in range(3)) / 1536, abs=0.02)
    assert told["eval"]["last"] == round(sum(round_right(peer, 3) for peer in range(3)) / 1536, 4)
    assert list(told["time_s"]) == ["total", "generate", "train", "wait", "network", "chain"]
    assert told["time_s"]["wait"] == pytest.approx(9 * 1.5)
    assert told["chain"] == {"transactions": 6, "gas": 3 * 143_211 + 3 * 181_004}
    assert 0.1 < told["overhead_share"] < 0.4
    assert told["first_round_s"] == pytest.approx(20.7, abs=1.0)


def test_work_that_a_mate_did_not_recompute_is_not_called_rescored(tmp_path):
    playback.write(tmp_path, num_rounds=1)
    log = tmp_path / "peers" / "peer-2" / "events.jsonl"
    kept = [line for line in log.read_text().splitlines() if '"ContributionSeen"' not in line]
    log.write_text("\n".join(kept) + "\n")
    told = summary(tmp_path)["contributions"]
    assert (told["signed"], told["rescored"], told["settled"]) == (3, 1, 3)


def test_rejected_contributions_and_reasons_are_counted(tmp_path):
    playback.write(tmp_path, num_rounds=1)
    with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: START_AT + 60) as log:
        for kind, reason in (
            ("contribution", "false_scores"),
            ("contribution", "false_scores"),
            ("answer", "unsigned"),
        ):
            log.append(RecordRejected(1, peer_id(7), kind, reason, "detail"))
        log.append(Stopped("done", 0, 640))
    told = summary(tmp_path)
    assert told["contributions"]["rejected"] == 1
    assert told["rejections"] == {"false_scores": 2, "unsigned": 1}
    assert told["peak_mb"] == 640


def test_an_earlier_session_in_the_same_home_is_left_out(tmp_path):
    playback.write(tmp_path, num_rounds=4)
    since = START_AT + 6 + 2 * playback.ROUND_S
    told = summary(tmp_path, since)
    assert told["rounds"] == 2
    assert told["contributions"]["signed"] == 6
    assert told["contributions"]["rescored"] == 6
    assert told["peers"][0]["rounds_completed"] == 2
    assert told["peers"][0]["credits_micro"] == sum(micro(0, number) for number in range(1, 5))
    assert told["first_round_s"] < playback.ROUND_S


def test_the_hosts_transactions_count_once(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=0)
    with EventLog(tmp_path / "host" / "events.jsonl", now=lambda: START_AT) as log:
        log.append(TransactionSent("deploy", content("deploy"), 5_000_000))
    assert summary(tmp_path)["chain"] == {"transactions": 2, "gas": 5_143_211}


def test_a_home_where_nothing_happened_has_no_numbers_made_up(tmp_path):
    assert summary(tmp_path) == {
        "rounds": 0,
        "peers": [],
        "contributions": {"signed": 0, "rescored": 0, "verified": 0, "struck": 0, "rejected": 0, "settled": 0},
        "rejections": {},
        "eval": {"first": None, "last": None},
        "time_s": {"total": 0.0, "generate": 0.0, "train": 0.0, "wait": 0.0, "network": 0.0, "chain": 0.0},
        "overhead_share": None,
        "chain": {"transactions": 0, "gas": 0},
        "first_round_s": None,
        "peak_mb": 0,
    }
