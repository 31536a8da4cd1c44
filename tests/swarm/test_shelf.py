"""What is kept for others survives restarts, is kept once, and damage misleads nobody."""

from protocol.codec import content_id
from protocol.messages import BlobRef
from swarm.shelf import Shelf

NAME, OTHER = content_id(b"a state"), content_id(b"another")


class Counter:
    def __init__(self):
        self.offered = []

    def offer(self, blob):
        self.offered.append(blob)
        return BlobRef(content_id(blob), len(blob))


def test_a_set_is_read_in_order_and_served_again_by_the_next_process(tmp_path):
    Shelf(tmp_path, Counter().offer).write(3, NAME, [b"manifest", b"chunk 0", b"chunk 1"])
    counter = Counter()
    again = Shelf(tmp_path, counter.offer)
    assert again.read(NAME) == (b"manifest", b"chunk 0", b"chunk 1")
    assert again.read(OTHER) is None
    again.offer_all()
    assert counter.offered == [b"manifest", b"chunk 0", b"chunk 1"]


def test_what_is_kept_anew_stays_on_disk_once_and_as_long_as_the_newest_round_needs_it(tmp_path):
    shelf = Shelf(tmp_path, Counter().offer)
    shelf.write(1, NAME, [b"old"])
    shelf.write(1, OTHER, [b"other"])
    shelf.write(5, NAME, [b"old"])
    assert len(list(tmp_path.glob("*/*.blobs"))) == 2
    shelf.forget_old(5)
    assert (shelf.read(NAME), shelf.read(OTHER)) == ((b"old",), None)
    shelf.forget_old(6)
    assert shelf.read(NAME) is None


def test_a_damaged_set_is_as_good_as_none(tmp_path):
    counter = Counter()
    shelf = Shelf(tmp_path, counter.offer)
    shelf.write(1, NAME, [b"x" * 100])
    path = next(tmp_path.glob("*/*.blobs"))
    path.write_bytes(path.read_bytes()[:-1])
    assert shelf.read(NAME) is None
    shelf.offer_all()
    assert counter.offered == []


def test_what_is_offered_is_found_under_its_hash(tmp_path):
    assert Shelf(tmp_path, Counter().offer).offer([b"a", b"bb"]) == (
        BlobRef(content_id(b"a"), 1),
        BlobRef(content_id(b"bb"), 2),
    )
