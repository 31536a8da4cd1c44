"""What Prometheus reads of a peer: stable names, the numbers of its log, and answers that never wait for its loop."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from protocol import events as e
from protocol.errors import ConfigError
from swarm.observe.eventlog import EventLog
from swarm.observe.health import Condition, health
from swarm.observe.metrics import METRICS, Extra
from swarm.observe.serving import FILE, MetricsServer
from swarm.observe.store import Store
from tests.swarm.observe import playback

PROMISED = {
    "swarm_round", "swarm_phase", "swarm_peers", "swarm_rollouts_total", "swarm_score_mean", "swarm_tokens_total",
    "swarm_step_seconds", "swarm_loss", "swarm_dht_ops_total", "swarm_records_rejected_total",
    "swarm_contributions_total", "swarm_audits_total", "swarm_chain_tx_total", "swarm_pending_payout",
    "swarm_degraded", "swarm_last_progress_timestamp_seconds",
}  # fmt: skip


@pytest.fixture
def log(tmp_path):
    playback.write(tmp_path, num_rounds=12, degraded=True)
    return tmp_path / "peers" / "peer-1" / "events.jsonl"


@pytest.fixture
def serve(log):
    servers = []

    def start(**more):
        server = MetricsServer(log, host="127.0.0.1", port=0, **more)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def got(url):
    """(status, body) of a GET, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(url):
    _, text = got(f"{url}/metrics")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_every_promised_name_is_described_once():
    names = [one.name for one in METRICS]
    assert set(names) >= PROMISED
    assert len(names) == len(set(names))
    assert all(one.help.endswith(".") for one in METRICS)
    assert all(one.name.endswith("_total") == (one.kind == "counter") for one in METRICS)


def test_the_numbers_are_those_of_the_log(log, serve):
    extra = Extra(lambda: "sums", lambda: {("Settle", "held"): 2})
    found = samples(serve(extra=extra).url)
    assert found["swarm_round",] == 12
    assert found["swarm_rollouts_total", ("task", "sums")] == found_in(log, "SELECT total(num_rollouts) FROM batches"
                                                                       " WHERE own = 1") > 0  # fmt: skip
    assert found["swarm_contributions_total", ("stage", "signed")] == 12
    assert found["swarm_records_rejected_total", ("reason", "wrong_signature")] == 1
    assert found["swarm_chain_tx_total", ("kind", "Settle"), ("result", "held")] == 2
    assert found["swarm_pending_payout",] == pytest.approx(1.712032)
    assert found["swarm_step_seconds_count",] == 12
    assert found["swarm_phase", ("phase", "between rounds")] == 1
    assert sum(value for key, value in found.items() if key[0] == "swarm_phase") == 1
    assert 0 < found["swarm_score_mean",] <= 1
    assert found["process_resident_memory_bytes",] > 0
    info = next(key for key in found if key[0] == "swarm_peer_info")
    assert dict(info[1:])["nickname"] == "vital-fair-snail"


def found_in(log, query):
    with Store(log) as store:
        store.refresh()
        return store.rows(query)[0][0]


def test_what_the_network_was_asked_and_what_is_wrong_is_counted(log, serve):
    with EventLog(log) as events:
        events.append(e.NetworkUsed(12, {"publish ok": 3, "fetch unavailable": 1}))
        events.append(e.NetworkUsed(13, {"publish ok": 4}))
        events.append(e.Problem("ChainUnreachable", "No endpoint answers.", "s", "n"))
        events.append(e.StepSkipped(13, "OutOfMemory", "It did not fit."))
        events.append(e.MemoryShrunk("sampling", 16.0))
    found = samples(serve().url)
    assert found["swarm_dht_ops_total", ("op", "publish"), ("result", "ok")] == 7
    assert found["swarm_dht_ops_total", ("op", "fetch"), ("result", "unavailable")] == 1
    assert found["swarm_degraded", ("reason", "ChainUnreachable")] == 1
    assert found["swarm_steps_skipped_total", ("reason", "OutOfMemory")] == 1
    assert found["swarm_memory_shrunk_total",] == 1


def test_a_label_that_a_stranger_chose_breaks_no_line(log, serve):
    with EventLog(log) as events:
        events.append(e.RecordRejected(12, "x", "k", 'a"\n\x1b[31mb', "d"))
    assert samples(serve().url)["swarm_records_rejected_total", ("reason", 'a" b')] == 1


def test_health_is_200_while_well_and_503_with_the_reason_when_not(log, serve, monkeypatch):
    monkeypatch.setattr("swarm.observe.serving.is_running", lambda pid, at: True)
    url = serve(round_s=lambda: 24.0).url
    status, body = got(f"{url}/healthz")
    assert status == 503, "the log ends long ago"
    told = json.loads(body)
    assert (told["ok"], told["condition"], told["limit_s"]) == (False, "stalled", 48.0)
    assert told["why"].startswith("No progress for ")
    with EventLog(log) as events:
        events.append(e.RoundEnded(12, e.Outcome.COMPLETE, (), 1, 1, 0, 0, 0, 0))
    assert got(f"{url}/healthz")[0] == 200


def test_a_loop_that_does_not_answer_is_told_though_the_log_is_fresh(log, serve, monkeypatch):
    monkeypatch.setattr("swarm.observe.serving.is_running", lambda pid, at: True)
    with EventLog(log) as events:
        events.append(e.RoundEnded(12, e.Outcome.COMPLETE, (), 1, 1, 0, 0, 0, 0))
    status, body = got(f"{serve(silent_s=lambda: 61.0).url}/healthz")
    assert (status, json.loads(body)["condition"]) == (503, "deaf")


def test_it_says_where_it_listens_as_prometheus_reads_it_and_takes_that_back(log, serve):
    server = serve(labels={"peer": "1"})
    file = log.with_name(FILE)
    assert json.loads(file.read_text()) == [{"targets": [f"127.0.0.1:{server.port}"], "labels": {"peer": "1"}}]
    assert got(f"{server.url}/")[0] == 200
    assert got(f"{server.url}/secrets")[0] == 404
    server.stop()
    assert not file.exists()


def test_a_taken_port_is_a_clear_error(log):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError) as caught:
            MetricsServer(log, host="127.0.0.1", port=taken.getsockname()[1])
    assert "observe.metrics_port" in caught.value.next_step


def test_a_client_that_says_nothing_does_not_keep_others_waiting_for_ever(serve, monkeypatch):
    monkeypatch.setattr("swarm.observe.serving.CLIENT_S", 0.2)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)):
        assert got(f"{server.url}/healthz")[0] in (200, 503)


# --- health, without HTTP ----------------------------------------------------------------------------------------


def found_at(log, now, *, alive=True, **more):
    with Store(log) as store:
        store.refresh()
        return health(store, now, lambda pid, at: alive, **more)


def written(tmp_path, *events):
    """A log of (seconds, event)."""
    clock = [0.0]
    with EventLog(tmp_path / "events.jsonl", now=lambda: clock[0]) as log:
        for at, event in events:
            clock[0] = at
            log.append(event)
        return log.path


ME = playback.peer_id(0)
STARTED = e.PeerStarted("ann", ME, playback.address(0), "h", "tiny", "exact", "1", 1)
OPENED = e.RoundOpened(7, playback.content("seed"), (ME,), (ME,), 20.0, 50.0)


def test_a_peer_that_waits_for_others_to_come_is_well(tmp_path):
    log = written(tmp_path, (1, STARTED), (2, e.Progress("waiting for enough peers to enrol")))
    assert found_at(log, 10_000).condition is Condition.WAITING
    assert found_at(log, 10_000).ok


def test_no_progress_for_two_rounds_is_a_stall_that_says_what_was_last_known(tmp_path):
    log = written(tmp_path, (10, STARTED), (20, OPENED), (30, e.Progress("training")))
    assert found_at(log, 79).condition is Condition.PLAYING
    stalled = found_at(log, 81)
    assert (stalled.condition, stalled.ok, stalled.limit_s, stalled.elsewhere) == (Condition.STALLED, False, 60, False)
    assert stalled.why == "No progress for 1 m 01 s; two rounds are 1 m 00 s. Last known: training."


def test_presence_and_waiting_are_no_progress_and_a_chain_that_is_away_is_elsewhere(tmp_path):
    log = written(
        tmp_path,
        (10, STARTED),
        (20, OPENED),
        (70, e.Problem("ChainUnreachable", "No endpoint answers.", "", "")),
        (75, e.PeerSeen(playback.peer_id(1), "online", 7)),
        (80, e.Progress("waiting for round 8")),
    )
    found = found_at(log, 90)
    assert (found.condition, found.elsewhere) == (Condition.STALLED, True)
    assert found.why.endswith("Problem: No endpoint answers.")


def test_a_process_that_is_gone_or_never_was_is_not_well(tmp_path):
    log = written(tmp_path, (10, STARTED), (20, OPENED))
    assert found_at(log, 21, alive=False).condition is Condition.DIED
    assert found_at(tmp_path / "other.jsonl", 21).condition is Condition.NEW
    log = written(tmp_path, (22, e.Stopped("was asked to stop", 0, 1)))
    assert found_at(log, 23).why == "It was stopped: was asked to stop."
