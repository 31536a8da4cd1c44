import pytest

from protocol import events as e
from protocol.events import Outcome
from swarm.observe.lines import line
from tests.swarm.observe import playback
from tests.swarm.observe.playback import address, content, peer_id

ME, OTHER = peer_id(0), peer_id(1)
STAGES = ("answer", "critique", "decide")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.Registered(address(0), ""), "already registered with wallet 0x2fd0…c7b567"),
        (e.RoundOpened(4, content(1), (ME,), (ME,), 0, 1), "round 4: open, 1 member"),
        (
            e.RoundOpened(4, content(1), (ME,), (ME,), 0, 1, 2, 5),
            "round 4: open, 1 member, questions of level 2 of 5",
        ),
        (
            e.StageEnded(4, "answer", Outcome.COMPLETE, (OTHER,), (), 0.26),
            "round 4: answer done, heard 1 peer, waited 0.3 s",
        ),
        (
            e.StageEnded(4, "answer", Outcome.ALONE, (), (OTHER,), 30),
            "round 4: answer alone: no other peer's work arrived in time, heard 0 peers,"
            " missing limber-steady-seal, waited 30 s",
        ),
        (
            e.Trained(4, 0.125, 1.0, 96, 64, 9000, content(1), content(2), 3.84),
            "round 4: trained on 96 own and 64 shared rollouts in 3.8 s, loss 0.1250",
        ),
        (
            e.Trained(4, 0.125, 1.0, 96, 64, 9000, content(1), content(2), 3.84, 24, 7, 2),
            "round 4: trained on 96 own and 64 shared rollouts in 3.8 s, loss 0.1250"
            "; 7 of 24 groups skipped: all the same; 2 rollouts left out: scorers differ",
        ),
        (
            e.RecordRejected(4, "\x1b[31mevil", "answer", "wrong_signature", "x\ny"),
            "round 4: dropped the answer record of evil: wrong signature (x y)",
        ),
        (
            e.AttestationRefused(4, OTHER, "totals differ"),
            "round 4: refused the result that limber-steady-seal proposed: totals differ",
        ),
        (e.CreditsChanged(1_500_000, 0), "credits: 1.5 settled, 0 claimed"),
        (e.Claimed(15 * 10**17, 2 * 10**18, content(3)), "claimed 1.5 tokens, the wallet holds 2"),
        (e.Evaluated(0, 512, 228, 1.0), "held-out accuracy before training: 44.5 % of 512 questions"),
        (e.Evaluated(3, 0, 0, 1.0), "held-out accuracy after round 3: nothing asked of 0 questions"),
        (e.Problem("NetworkError", "What.", "So what.", "Next."), "problem: What. So what. Next."),
        (e.Recovered("NetworkError"), "over: NetworkError"),
        (
            e.EquivocationProven(4, OTHER, address(0), content(1), content(2), 3 * 10**6, 10**6, content(3), 7, 1.0),
            "round 4: 0x2fd0…c7b567 proved on the chain that limber-steady-seal signed two contributions: 3 tokens of"
            f" stake are taken, 1 of them for the reporter ({content(3)[:4]}…{content(3)[-6:]})",
        ),
        (
            e.Serving("http://127.0.0.1:9464"),
            "metrics at http://127.0.0.1:9464/metrics, health at http://127.0.0.1:9464/healthz",
        ),
        (e.Restarted("ended with signal SIGKILL", 1), "started again (1 restart in a row): ended with signal SIGKILL"),
        (
            e.MemoryPlanned("gemma", "RAM", 2_830_000_000, 16_000_000_000, 64, 64, {}),
            "needs about 2.83 GB of RAM for gemma, 16.00 GB free",
        ),
        (
            e.MemoryPlanned("gemma", "VRAM", 2_830_000_000, 2_900_000_000, 8_000_000, 64_000_000, {}),
            "needs about 2.83 GB of VRAM for gemma, 2.90 GB free; batches are smaller (8 MB) to fit",
        ),
        (
            e.MemoryMeasured("RAM", 2_830_000_000, 2_690_000_000, True),
            "took 2.69 GB of RAM at most, 2.83 GB were predicted",
        ),
        (
            e.MemoryMeasured("RAM", 2_000_000_000, 2_690_000_000, False),
            "took 2.69 GB of RAM at most, 2.00 GB were predicted (more than 20 % off)",
        ),
        (
            e.MemoryShrunk("sampling", 32.0),
            "memory ran out while sampling: at most 32 MB at once from now on, with the same results",
        ),
        (
            e.StepSkipped(4, "OutOfMemory", "It did not fit."),
            "round 4: no training step, no contribution: It did not fit.",
        ),
        (e.Stopped("asked to", 0, 612), "stopped: asked to (exit code 0, peak memory 612 MB)"),
        (
            e.RoundEnded(4, Outcome.NO_QUORUM, STAGES, 20.0, 8, 5, 4, 2, 1),
            "round 4: no quorum: too few members attested the result, 20 s"
            " (generate 8.0, train 5.0, wait 4.0, network 2.0, chain 1.0)",
        ),
    ],
)
def test_an_event_is_one_plain_line(event, said):
    assert line(event, "vital-fair-snail") == f"vital-fair-snail: {said}"


def test_every_event_of_a_run_is_one_printable_line_or_none():
    silent = set()
    for _, event in playback.script(0, 3, 5, degraded=True):
        text = line(event, "me")
        if text is None:
            silent.add(type(event).__name__)
        else:
            assert text.isprintable()
            assert len(text) < 700
    assert silent == {"Progress", "PeerSeen"}


def test_every_kind_of_event_has_words_or_is_silent_on_purpose():
    from swarm.observe.lines import _WORDS

    assert set(e.EVENT_TYPES) - set(_WORDS) == {e.Progress, e.PeerSeen, e.NetworkUsed}
