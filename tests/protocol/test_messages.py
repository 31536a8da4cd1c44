"""What travels is frozen, closed and made of whole numbers: a float or a stray field would break hashes silently."""

import typing

import msgspec
import pytest

from protocol import messages, run
from protocol.messages import BlobRef, WireStruct

STRUCTS = [
    kind
    for module in (messages, run)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, WireStruct) and kind is not WireStruct
]


@pytest.mark.parametrize("kind", STRUCTS)
def test_every_struct_on_the_wire_is_frozen_and_closed(kind):
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.forbid_unknown_fields
    assert not kind.__struct_config__.omit_defaults


@pytest.mark.parametrize("kind", STRUCTS)
def test_no_float_no_loose_integer_and_no_dictionary_travels(kind):
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        described = repr(hint)
        assert "float" not in described, name
        assert "dict" not in described, name
        assert hint is not int, f"{name} has no bounds"


def test_a_message_cannot_be_changed():
    with pytest.raises(AttributeError):
        BlobRef("0" * 64, 1).size = 2


def test_every_struct_on_the_wire_says_what_it_is():
    assert all(kind.__doc__ for kind in STRUCTS)
    assert len(STRUCTS) >= 20
    assert msgspec.json.schema(messages.Envelope)["$defs"]
