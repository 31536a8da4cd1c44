"""The peer id that we compute is the one under which hivemind's daemon joins, for both kinds of identity."""

import pytest

from identity.keyfile import create_key, load_key

pytestmark = pytest.mark.integration


async def daemon_peer_id(path) -> str:
    from hivemind.p2p import P2P

    p2p = await P2P.create(identity_path=str(path), host_maddrs=["/ip4/127.0.0.1/tcp/0"], check_if_identity_free=False)
    try:
        return p2p.peer_id.to_base58()
    finally:
        await p2p.shutdown()


@pytest.mark.asyncio
async def test_a_new_identity_has_the_peer_id_that_p2pd_gives_it(tmp_path):
    key = create_key(tmp_path / "swarm.pem")
    assert await daemon_peer_id(tmp_path / "swarm.pem") == key.peer


@pytest.mark.asyncio
async def test_an_identity_made_by_hivemind_loads_under_the_same_peer_id(tmp_path):
    from hivemind.p2p import P2P

    path = tmp_path / "swarm.pem"
    P2P.generate_identity(str(path))
    assert await daemon_peer_id(path) == load_key(path).peer
