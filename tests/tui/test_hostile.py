"""Whatever peers, chains and models say is shown as text, on every screen, and never obeyed."""

import pytest

from protocol import events as e
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import Finding
from swarm.observe.eventlog import EventLog
from tests.swarm.observe.playback import content, peer_id
from tests.tui import stage
from tests.tui.stage import press, text_of
from tui.screens import SCREENS

WORDS = "[red]x[/nope] [@click=app.quit]y[/] $error <b onclick=alert(1)>z</b>"
EVIL = f"\x1b]0;t\x07\x1b[2J\x9b31m{WORDS} \u202e\u2066\u200b\U000e0041 " + "W" * 400_000
FORBIDDEN = {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\u200b", "\U000e0041", "\n", "\r"}
GAME = content("game")
STRANGER = PeerId("16Uiu2HAm" + "x" * 30)


def poison(path, now):
    """One of every event that carries words from outside, all of them hostile."""
    said = tuple(e.Said(peer_id(index), "A", EVIL[:40_000], 10**9, EVIL[:40_000]) for index in range(3))
    evil = EVIL[:60_000]
    with EventLog(path, now=lambda: now) as log:
        for event in (
            e.QuestionPlayed(13, evil, evil, said, said, said),
            e.RecordRejected(12, EVIL[:5000], evil, evil, evil),
            e.PeerSeen(STRANGER, evil, 2**70),
            e.VerdictSeen(11, peer_id(0), content("c", 0, 11), STRANGER, 1, Finding.MISMATCH, evil),
            e.AttestationRefused(12, STRANGER, evil),
            e.TransactionSent(evil, evil, 10**30, 12),
            e.TransactionSent(evil, evil, 10**12, 12),
            e.Claimed(10**40, 10**40, evil),
            e.DisputeOpened(GAME, 11, peer_id(0), content("c", 0, 11), evil, Address("0x" + "a" * 40),
                            Address("0x" + "b" * 40), evil, now + 5, 10**15, 10**15),
            e.DisputeMove(GAME, 1, evil, evil, evil, evil, evil, -5, 2**70, 0, now + 5, 5, evil),
            e.DisputeMove(GAME, 2, evil, evil, evil, evil, evil, 2**62, -3, 7, now + 5, 5, evil),
            e.DisputeDecided(content("other"), 1, peer_id(0), GAME, evil, evil, True, 2, 9, 10**15, evil),
            e.Progress(evil, -5, 3),
            e.PeerStarted(evil, peer_id(0), Address("0x" + "a" * 40), evil, evil, evil, evil, 40_000),
            e.RoundOpened(12, ContentId("0" * 64), (peer_id(0), STRANGER), (STRANGER,), now, now + 9),
            e.Problem("[red]", evil, evil, evil),
        ):  # fmt: skip
            log.append(event)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_hostile_words_are_shown_as_words_on_every_screen(tmp_path, size):
    now = stage.home(tmp_path, "busy")
    poison(tmp_path / "peers" / "peer-1" / "events.jsonl", now)
    app = stage.dashboard(
        tmp_path, now, outbox=lambda: (stage.Sent("peer-1", EVIL, 1, "held", now, EVIL, EVIL, 10**30),)
    )
    async with app.run_test(size=size) as pilot:
        await stage.settled(pilot)
        for number, kind in enumerate(SCREENS, start=1):
            keys = {"rollouts": ["v", "v", "pagedown"], "peers": ["end"], "round": ["down"]}.get(kind.NAME, [])
            for key in (str(number), *keys):
                await press(pilot, key)
                text = text_of(app)
                assert not FORBIDDEN & set(text.replace("\n", "")), (kind.NAME, key)
                assert [len(line) for line in text.splitlines()] == [size[0]] * size[1], (kind.NAME, key)
                assert app.current_mode == kind.NAME
        await press(pilot, "4", "v")
        assert "[red]x[/nope] [@click=app.quit]y[/]" in text_of(app)
        await press(pilot, "7", "slash", *"red")
        assert "[red]x[/nope]" in text_of(app)
        await press(pilot, "escape", "ctrl+p", *"Peer")
        assert "Peer (red)x(/nope)" in text_of(app)
        await press(pilot, "escape", "question_mark", "escape", "q")
