import pytest

from swarm.settings.public import public_endpoints
from swarm.settings.sections import ChainSettings


@pytest.mark.parametrize(
    ("url", "is_handed_on"),
    [
        ("https://rpc.example.org", True),
        ("http://192.0.2.1:8545/", True),
        ("https://rpc.example.org/v3/0123456789abcdef", False),
        ("https://rpc.example.org/?apikey=1", False),
        ("https://user:secret@rpc.example.org", False),
    ],
)
def test_an_address_that_may_hold_a_key_is_not_handed_on(url, is_handed_on):
    assert public_endpoints(ChainSettings(rpc=(url,))) == ((url,) if is_handed_on else ())


def test_what_is_named_public_is_handed_on_as_it_is():
    chain = ChainSettings(rpc=("https://a.example/key",), public_rpc=("https://b.example/eth/sepolia",))
    assert public_endpoints(chain) == ("https://b.example/eth/sepolia",)
