"""The log is read by displays of this version and later ones: every event must come back from its line."""

import types
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.events import EVENT_TYPES, AnyEvent, Claimed, Event, LoggedEvent, Outcome, Said, Stopped
from protocol.ids import Address, ContentId, PeerId

NAMES = {
    PeerId: [PeerId("QmA"), PeerId("16Uiu2HAm"), PeerId("z" * 128)],
    ContentId: [ContentId("0" * 64), ContentId("9f" * 32)],
    Address: [Address("0x" + "aB" * 20)],
}
PLAIN = {
    type(None): st.none(),
    str: st.text(max_size=20),
    int: st.integers(0, 2**53),
    float: st.floats(0, 1e9),
    bool: st.booleans(),
}


def test_the_union_and_the_list_name_the_same_events():
    defined = set(Event.__subclasses__())
    assert set(EVENT_TYPES) == set(typing.get_args(AnyEvent)) == defined
    assert len({kind.__struct_config__.tag for kind in EVENT_TYPES}) == len(EVENT_TYPES)


@pytest.mark.parametrize("kind", EVENT_TYPES)
@given(data=st.data())
def test_an_event_comes_back_from_its_line(kind, data):
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: data.draw(value_of(hint)) for name, hint in hints.items()}
    logged = LoggedEvent(at=1.5, seq=3, event=kind(**fields))
    line = msgspec.json.encode(logged)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=LoggedEvent) == logged


def value_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """A strategy for the field types that events use; anything new must be added here on purpose."""
    if hint in NAMES:
        return st.sampled_from(NAMES[hint])
    if typing.get_origin(hint) is tuple:
        return st.lists(value_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is dict:
        key, value = typing.get_args(hint)
        return st.dictionaries(value_of(key), value_of(value), max_size=3)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return st.one_of(*(value_of(member) for member in typing.get_args(hint)))
    if hint is Said:
        return st.builds(Said, st.just(PeerId("QmA")), st.text(), st.text(), st.integers(0, 1000), st.text())
    if isinstance(hint, type) and issubclass(hint, str) and hint is not str:
        return st.sampled_from(list(hint))
    return PLAIN[hint]


def test_amounts_in_wei_do_not_lose_digits():
    claimed = Claimed(amount_wei=123_456_789_000_000_000_000_000_001, balance_wei=2**90, transaction="0x")
    assert msgspec.json.decode(msgspec.json.encode(claimed), type=AnyEvent) == claimed


def test_the_type_comes_first_so_that_a_log_can_be_searched():
    assert msgspec.json.encode(Stopped("done", 0, 512)).startswith(b'{"type":"Stopped"')


def test_a_round_that_went_less_than_well_has_a_name():
    names = {str(outcome) for outcome in Outcome}
    assert names == {"complete", "alone", "partial", "late", "not_included", "no_quorum", "skipped"}
