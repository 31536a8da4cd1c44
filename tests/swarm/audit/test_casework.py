"""A record that asks for what its run never asks is refused before anything is fetched or drawn for it."""

import msgspec
import pytest

from protocol.codec import encode
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId
from protocol.messages import Envelope
from swarm.audit.casework import Casework, finding_of
from swarm.rounds.contribution import Commitments, build_contribution
from tests.swarm.small_swarm import small_run
from tests.swarm.test_levels import RUN

pytestmark = pytest.mark.asyncio

AUTHOR = PeerId("QmA")


@pytest.mark.parametrize(("run", "level"), [(RUN, 0), (RUN, 3), (RUN, 2**62), (small_run(), 1)])
async def test_a_level_that_the_run_does_not_have_breaks_a_rule(run, level):
    state = ContentId("12" * 32)
    record = build_contribution(
        run=run.id, round_number=4, peer=AUTHOR, seed=state, cohort=(AUTHOR,), state_before=state, state_after=state,
        before=None, after=None, batches=[], consumed=[], scores_milli=[], engine="fake", profile="bytes",
        commitments=Commitments(),
    )  # fmt: skip
    payload = encode(msgspec.structs.replace(record, level=level))
    casework = Casework(run, None, None, None, None, {}, {}, lambda: 0.0)
    with pytest.raises(BadRecord) as caught:
        await casework.reopen(Envelope(6, run.id, "contribution", 4, AUTHOR, payload, b""), [])
    assert caught.value.what == f"The run asks no questions of level {level}."
    assert finding_of(caught.value) == "mismatch"
