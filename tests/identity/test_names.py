from collections import Counter

import pytest

from chain.keys import peer_of_secp256k1
from identity.names import nickname
from identity.words import ADJECTIVES, ANIMALS
from protocol.codec import content_id


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi", "silent-green-jaguar"),
        ("16Uiu2HAm3cuhhRL2msUuLF62KRSfneFDx94RsuouyW25Ho42cFMq", "modest-stable-bluejay"),
        ("QmY9fh3vwdNj8EcUtT4qg91sGkaebsnwT3AS32rv7bz5is", "fancy-prudent-parakeet"),
    ],
)
def test_nicknames_never_change(peer, name):
    assert nickname(peer) == name


def test_the_word_lists_never_change():
    words = " ".join(ADJECTIVES) + "|" + " ".join(ANIMALS)
    assert content_id(words.encode()) == "92af6347ae4ba2793873a036206dca952ea69c5fd12ae3c7755d47c5fb758566"


def test_words_are_plain_and_in_one_list_only():
    assert len(ADJECTIVES) >= 200
    assert len(ANIMALS) >= 200
    assert [word for word, count in Counter(ADJECTIVES + ANIMALS).items() if count > 1] == []
    assert all(
        word.isascii() and word.isalpha() and word.islower() and len(word) <= 12 for word in ADJECTIVES + ANIMALS
    )


def test_names_spread_over_all_words():
    peers = [peer_of_secp256k1(b"\x02" + i.to_bytes(32, "big")) for i in range(3000)]
    names = [nickname(peer).split("-") for peer in peers]
    assert all(len(name) == 3 and name[0] != name[1] for name in names)
    assert {name[0] for name in names} == {name[1] for name in names} == set(ADJECTIVES)
    assert {name[2] for name in names} == set(ANIMALS)
    assert len({"-".join(name) for name in names}) > 2990
