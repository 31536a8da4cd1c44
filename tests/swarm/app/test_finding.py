import asyncio
import os

import msgspec
import pytest

from protocol.errors import ChainUnreachable, ConfigError, NetworkError
from protocol.run import format_token, parse_token
from swarm.app.finding import token_finder
from swarm.settings.config import load_settings
from swarm.settings.home import Home
from swarm.settings.joining import write_join_file
from tests.chain.stub_node import StubNode
from tests.protocol.test_run import TOKEN

ADDRESS = "/ip4/10.0.0.7/tcp/4001/p2p/QmB"


@pytest.fixture
def settings(tmp_path):
    def chosen(**keys):
        return load_settings(
            "join", None, {"home": tmp_path, **{key.replace("__", "."): value for key, value in keys.items()}}
        )

    return chosen


def test_a_token_is_judged_before_anything_starts(settings):
    with pytest.raises(ConfigError, match="cannot be read"):
        token_finder(settings(), [format_token(TOKEN)[:-20]], [])
    other = msgspec.structs.replace(TOKEN, run=msgspec.structs.replace(TOKEN.run, wire_version=99))
    with pytest.raises(ConfigError, match="speaks wire version 99"):
        token_finder(settings(), [format_token(other)], [])


@pytest.mark.parametrize(
    ("join", "what"),
    [
        ([format_token(TOKEN)] * 2, "several things"),
        ([format_token(TOKEN), ADDRESS], "several things"),
        ([ADDRESS], "do not say which chain"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, join, what):
    with pytest.raises(ConfigError, match=what) as caught:
        token_finder(settings(), join, [])
    assert caught.value.so_what == "Nothing was started."
    assert caught.value.next_step


def test_without_join_the_file_must_be_there_or_be_waited_for(settings):
    with pytest.raises(ConfigError, match=r"There is no .*join\.yaml"):
        token_finder(settings(), [], [])


@pytest.mark.asyncio
async def test_a_token_leads_to_its_own_addresses(settings):
    assert await token_finder(settings(), [format_token(TOKEN)], [])() == TOKEN


@pytest.mark.asyncio
async def test_own_bootnodes_are_dialled_besides_and_own_endpoints_instead(settings):
    chosen = settings(network__bootnodes=(ADDRESS,), chain__rpc=("http://10.0.0.8:1",))
    found = await token_finder(chosen, [format_token(TOKEN)], [])()
    assert found.bootnodes == (*TOKEN.bootnodes, ADDRESS)
    assert found.rpc == ("http://10.0.0.8:1",)
    found = await token_finder(chosen, [format_token(TOKEN)], ["http://10.0.0.9:1"])()
    assert found.rpc == ("http://10.0.0.9:1",)


@pytest.mark.asyncio
async def test_addresses_ask_the_gate_for_the_rest(settings):
    async with StubNode(swarm_token=lambda: format_token(TOKEN)) as gate:
        found = await token_finder(settings(), [ADDRESS], [gate.url])()
        assert (found.run, found.bootnodes, found.rpc) == (TOKEN.run, (ADDRESS,), (gate.url,))


@pytest.mark.asyncio
async def test_an_endpoint_that_is_no_gate_or_nobody_is_told_apart(settings):
    async with StubNode() as node:
        with pytest.raises(ConfigError, match="hands out no join token"):
            await token_finder(settings(), [ADDRESS], [node.url])()
        gone = node.url
    with pytest.raises(ChainUnreachable):
        await token_finder(settings(), [ADDRESS], [gone])()


@pytest.mark.asyncio
async def test_an_address_without_its_peer_is_refused(settings):
    async with StubNode(swarm_token=lambda: format_token(TOKEN)) as gate:
        with pytest.raises(ConfigError, match="does not say which peer"):
            await token_finder(settings(), ["/ip4/10.0.0.7/tcp/4001"], [gate.url])()


@pytest.mark.asyncio
async def test_a_file_that_is_still_to_be_written_is_waited_for(settings, tmp_path):
    path = Home(tmp_path).join_file
    write_join_file(path, msgspec.structs.replace(TOKEN, model_name="of the host before"))
    os.utime(path, (1000, 1000))
    waiting = asyncio.ensure_future(token_finder(settings(), [], [], wait_s=60, fresh_since=2000)())
    await asyncio.sleep(0)
    assert not waiting.done()
    write_join_file(path, TOKEN)
    assert await waiting == parse_token(format_token(TOKEN))


@pytest.mark.asyncio
async def test_waiting_ends_at_the_limit_and_can_be_cancelled_at_once(settings):
    with pytest.raises(NetworkError, match=r"did not write .*join\.yaml within 0.01 s"):
        await token_finder(settings(), [], [], wait_s=0.01)()
    waiting = asyncio.ensure_future(token_finder(settings(), [], [], wait_s=600)())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 1)
