"""What is kept for others survives restarts, is kept once, and damage misleads nobody."""

import threading
from concurrent.futures import ThreadPoolExecutor

from protocol.codec import content_id
from swarm.audit.shelf import Shelf

NAME, OTHER = content_id(b"a state"), content_id(b"another")


def test_a_set_is_found_piece_by_piece_by_the_next_process_too(tmp_path):
    blobs = [b"manifest", b"chunk 0", b"chunk 1"]
    first = Shelf(tmp_path)
    first.write(3, NAME, blobs)
    first.write(3, OTHER, [b"batch"])
    for shelf in (first, Shelf(tmp_path)):
        assert [shelf.find(content_id(blob)) for blob in (*blobs, b"batch", *blobs)] == [*blobs, b"batch", *blobs]
        assert shelf.find(content_id(b"something else")) is None


def test_what_is_kept_anew_stays_on_disk_once_and_as_long_as_the_newest_round_needs_it(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.write(1, NAME, [b"old"])
    shelf.write(1, OTHER, [b"other"])
    shelf.write(5, NAME, [b"old"])
    assert len(list(tmp_path.glob("*/*.blobs"))) == 2
    shelf.forget_old(5)
    assert (shelf.find(content_id(b"old")), shelf.find(content_id(b"other"))) == (b"old", None)
    shelf.forget_old(6)
    assert shelf.find(content_id(b"old")) is None


def test_several_threads_may_keep_the_same_set_at_once(tmp_path):
    shelf, at_once = Shelf(tmp_path), threading.Barrier(4)
    names = [content_id(b"%d" % number) for number in range(60)]

    def keep() -> None:
        for name in names:
            at_once.wait(10)
            shelf.write(1, name, [b"blob of " + name.encode()])

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(keep) for _ in range(4)]:
            done.result()
    assert {path.name for path in tmp_path.glob("*/*")} == {f"{name}.blobs" for name in names}
    assert all(shelf.blobs(name) == (b"blob of " + name.encode(),) for name in names)


def test_a_damaged_or_vanished_set_is_as_good_as_none(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.write(1, NAME, [b"x" * 100])
    shelf.write(1, OTHER, [b"y"])
    for path in tmp_path.glob(f"*/{NAME}.blobs"):
        path.write_bytes(path.read_bytes()[:-1])
    for path in tmp_path.glob(f"*/{OTHER}.blobs"):
        path.unlink()
    for one in (shelf, Shelf(tmp_path)):
        assert one.find(content_id(b"x" * 100)) is None
        assert one.find(content_id(b"y")) is None
