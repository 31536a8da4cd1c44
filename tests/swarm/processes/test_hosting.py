import asyncio
import socket

import pytest

from protocol.errors import ChainError
from swarm.processes.hosting import PortBook, Ports, is_free, keep_alive


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_ports_are_remembered_while_they_are_free(tmp_path):
    book = PortBook(tmp_path / "host" / "ports.json")
    assert book.recall() == Ports(0, 0, 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = Ports(free_port(), taken.getsockname()[1], free_port())
        book.remember(ports)
        assert book.recall() == Ports(ports.chain, 0, ports.network)
        assert not is_free(ports.gate)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"chain": "x"}', b"\xff"])
def test_a_damaged_book_is_an_empty_one(tmp_path, content):
    (tmp_path / "ports.json").write_bytes(content)
    assert PortBook(tmp_path / "ports.json").recall() == Ports()


@pytest.mark.asyncio
async def test_a_chain_that_ends_is_started_again_until_it_comes_up(monkeypatch):
    ended, said, tries = asyncio.Queue(), [], []
    pauses = []
    really_sleep = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        await really_sleep(0)

    async def restart():
        tries.append(True)
        if len(tries) in (1, 2, 3):
            raise ChainError("It does not come up.")

    monkeypatch.setattr(asyncio, "sleep", sleep)
    keeping = asyncio.ensure_future(keep_alive(ended.get, restart, said.append))
    for code in (-9, 1):
        ended.put_nowait(code)
        before = len(tries)
        while len(tries) == before or len(tries) < 4:
            await really_sleep(0)
    keeping.cancel()
    assert pauses == [0.2, 0.4, 0.8]
    assert said == [
        "The chain's process ended with -9; starting it again with its state.",
        *["It does not come up."] * 3,
        "The chain's process ended with 1; starting it again with its state.",
    ]
    assert len(tries) == 5
