import queue
import threading

from protocol.events import Progress
from swarm.observe.eventlog import EventLog
from swarm.observe.stores import Stores
from tests.swarm.observe import playback
from tui.feed import Feed, Look, Observed, Unreadable


def watch(home):
    posted = queue.Queue()
    feed = Feed(lambda: Stores(home), posted.put, lambda _pid, _at: True)
    thread = threading.Thread(target=feed.run)
    thread.start()
    return feed, thread, posted


def test_it_posts_once_per_change_and_stops_when_told(tmp_path):
    playback.write(tmp_path, num_rounds=2)
    feed, thread, posted = watch(tmp_path)
    first = posted.get(timeout=60)
    assert isinstance(first, Observed)
    assert [one.round for one in first.peers] == [2, 2, 2]
    with EventLog(tmp_path / "peers" / "peer-2" / "events.jsonl") as log:
        log.append(Progress("saving", 1, 2))
    second = posted.get(timeout=60)
    assert second.peers[1].progress.what == "saving"
    assert second.peers[0] == first.peers[0]
    feed.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert posted.empty()


def test_the_hosts_progress_is_told_before_there_are_peers(tmp_path):
    with EventLog(tmp_path / "host" / "events.jsonl") as log:
        log.append(Progress("deploying the contracts", 2, 5))
    feed, thread, posted = watch(tmp_path)
    seen = posted.get(timeout=60)
    feed.stop()
    thread.join(60)
    assert seen.peers == ()
    assert (seen.host_progress.what, seen.host_progress.done) == ("deploying the contracts", 2)


def test_an_unreadable_log_is_reported_and_tried_again(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=1)
    log = tmp_path / "peers" / "peer-1" / "events.jsonl"
    content = log.read_bytes()
    log.unlink()
    log.mkdir()
    feed, thread, posted = watch(tmp_path)
    assert isinstance(posted.get(timeout=60), Unreadable)
    log.rmdir()
    log.write_bytes(content)
    while isinstance(seen := posted.get(timeout=60), Unreadable):
        pass
    feed.stop()
    thread.join(60)
    assert seen.peers[0].round == 1


def test_only_what_the_screen_asks_for_is_made(tmp_path):
    playback.write(tmp_path, num_peers=2, num_rounds=1)
    feed, thread, posted = watch(tmp_path)
    assert posted.get(timeout=60).view is None
    asked = []

    def gather(stores, name):
        asked.append(name)
        return sorted(stores), name

    feed.want(Look("peer-2", gather))
    seen = posted.get(timeout=60)
    feed.stop()
    thread.join(60)
    assert seen.view == (["peer-1", "peer-2"], "peer-2")
    assert seen.look == Look("peer-2", gather)
    assert set(asked) == {"peer-2"}
