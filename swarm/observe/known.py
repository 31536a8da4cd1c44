"""Why this module exists: a swarm is its peers; this is what one peer knows of each of them, from its own log alone."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from swarm.observe.store import Store
from swarm.observe.text import name_of, plain
from swarm.observe.views import PeerStatus, View

NUM_ROUNDS_SHOWN = 400
"""Curves cover the last this many rounds; a dashboard has fewer columns than that."""

Scores = dict[str, list[tuple[int, int]]]


class KnownPeer(View, frozen=True):
    """A peer of the swarm as this one knows it; itself included (``me``). ``scores``: (round, mean score in milli).

    ``phase``: what its newest work of this round belongs to, else what it says it does.
    ``cohort``: plays with this peer now. ``num_rejected``: its dropped records, the last at ``last_rejected_at``.
    ``num_matches`` and ``num_mismatches``: verdicts on its contributions by whoever did sampled work again.
    """

    peer: str
    nickname: str
    me: bool
    phase: str
    round: int
    last_seen_at: float | None
    cohort: bool
    scores: tuple[tuple[int, int], ...]
    micro_credits: int
    num_rejected: int
    last_rejected_at: float | None
    num_contributions: int = 0
    num_matches: int = 0
    num_mismatches: int = 0

    @property
    def score_milli(self) -> int | None:
        """Of the newest round."""
        return self.scores[-1][1] if self.scores else None


class PeerDetail(View, frozen=True):
    """More about one peer: why its records were dropped, and the last word of whoever accused it."""

    peer: str
    rejected: dict[str, int]
    last_detail: str
    accusations: tuple[str, ...]
    first_round: int | None
    last_round: int | None


PATIENCE_S = 90.0
"""A peer that said nothing for this long is shown as silent, unless rounds take longer."""


def patience_s(store: Store) -> float:
    """How long a peer may say nothing without anything being wrong: a training step is silent, and may take long."""
    row = store.row(
        "SELECT (SELECT max(total_s) FROM (SELECT total_s FROM rounds WHERE ended_at IS NOT NULL"
        " ORDER BY round DESC LIMIT 5)) AS lately, closes_at - opened_at AS at_most FROM rounds"
        " ORDER BY round DESC LIMIT 1"
    )
    if row is None:
        return PATIENCE_S
    return max(PATIENCE_S, row["lately"] if row["lately"] is not None else row["at_most"] or 0.0)


_SETTLED_AFTER = 2
"""Rounds before the newest that may still change: the present one, and the one that is checked meanwhile."""

_VERDICTS = "SELECT peer, count(*) AS num FROM audits WHERE level > 0 AND finding = '{}' AND {{}} GROUP BY peer"
_SUMS = {
    "credits": "SELECT peer, sum(micro_credits) AS num FROM credits WHERE {} GROUP BY peer",
    "work": "SELECT peer, count(*) AS num FROM contributions WHERE {} GROUP BY peer",
    "match": _VERDICTS.format("match"),
    "mismatch": _VERDICTS.format("mismatch"),
}

_past: WeakKeyDictionary[Store, tuple[tuple[int, int], Scores, dict[str, dict[str, int]]]] = WeakKeyDictionary()
"""Scores and sums of the rounds that change no more, which are most of the history, and until when that holds."""


def known_peers(store: Store, status: PeerStatus, cohort: list[str]) -> tuple[KnownPeer, ...]:
    """Everybody that the log names: this peer first, then its cohort, then by credits."""
    scores, sums = _history(store, status.round)
    credits, done, matches, mismatches = (sums[name] for name in _SUMS)
    rejected = {
        row["peer"]: (row["num"], row["last_at"])
        for row in store.rows("SELECT peer, sum(count) AS num, max(last_at) AS last_at FROM rejections GROUP BY peer")
    }
    work = {
        row["peer"]: row["stage"]
        for row in store.rows("SELECT peer, stage, max(at) FROM batches WHERE round = ? GROUP BY peer", status.round)
    }
    sent = store.rows("SELECT peer FROM contributions WHERE round = ? AND own = 0", status.round)
    work |= {row["peer"]: "contribute" for row in sent}
    words = {row["peer"]: row for row in store.rows("SELECT * FROM peers_seen")}
    known = {peer for peer in (status.peer, *words, *scores, *credits, *rejected, *cohort) if peer}
    peers = []
    for peer in known:
        word, me = words.get(peer), peer == status.peer
        peers.append(
            KnownPeer(
                peer=plain(peer, 128),
                nickname=status.nickname if me else name_of(peer),
                me=me,
                phase=status.phase if me else work.get(peer) or (plain(word["phase"], 40) if word else ""),
                round=status.round if me else word["round"] if word else 0,
                last_seen_at=status.last_event_at if me else word["last_at"] if word else None,
                cohort=peer in cohort,
                scores=tuple(scores.get(peer, ())),
                micro_credits=credits.get(peer, 0),
                num_rejected=rejected.get(peer, (0, None))[0],
                last_rejected_at=rejected.get(peer, (0, None))[1],
                num_contributions=done.get(peer, 0),
                num_matches=matches.get(peer, 0),
                num_mismatches=mismatches.get(peer, 0),
            )
        )
    return tuple(sorted(peers, key=lambda one: (not one.me, not one.cohort, -one.micro_credits, one.nickname)))


def peer_detail(store: Store, peer: str) -> PeerDetail:
    """What the log has on one peer beyond its line in the table."""
    dropped = store.rows(
        "SELECT reason, detail, sum(count) AS num FROM rejections WHERE peer = ? GROUP BY reason ORDER BY num DESC",
        peer,
    )
    newest = store.row("SELECT detail FROM rejections WHERE peer = ? ORDER BY last_at DESC LIMIT 1", peer)
    accused = store.rows("SELECT * FROM audits WHERE peer = ? AND finding = 'mismatch' ORDER BY at DESC LIMIT 3", peer)
    span = store.row("SELECT min(round) AS first, max(round) AS last FROM contributions WHERE peer = ?", peer)
    assert span is not None
    return PeerDetail(
        peer=plain(peer, 128),
        rejected={plain(row["reason"], 32).replace("_", " "): row["num"] for row in dropped[:8]},
        last_detail=plain(newest["detail"], 200) if newest else "",
        accusations=tuple(
            f"round {row['round']}, level {row['level']}, by {name_of(row['by'])}: {plain(row['what'], 200)}"
            for row in accused
        ),
        first_round=span["first"],
        last_round=span["last"],
    )


def _history(store: Store, number: int) -> tuple[Scores, dict[str, dict[str, int]]]:
    """Scores by round, and the sums of ``_SUMS``, by peer."""
    border = number - _SETTLED_AFTER
    (num_struck,) = store.rows("SELECT count(*) FROM struck")[0]
    kept = _past.get(store)
    if kept is None or kept[0] != (number, num_struck):
        past = {name: _sums(store, query.format("round <= ?"), border) for name, query in _SUMS.items()}
        kept = (number, num_struck), _read_scores(store, number - NUM_ROUNDS_SHOWN, border), past
        _past[store] = kept
    scores = {peer: list(values) for peer, values in kept[1].items()}
    for peer, values in _read_scores(store, border, number).items():
        scores.setdefault(peer, []).extend(values)
    sums = {}
    for name, query in _SUMS.items():
        sums[name] = dict(kept[2][name])
        for peer, num in _sums(store, query.format("round > ?"), border).items():
            sums[name][peer] = sums[name].get(peer, 0) + num
    return scores, sums


def _sums(store: Store, query: str, border: int) -> dict[str, int]:
    return {row["peer"]: row["num"] for row in store.rows(query, border)}


def _read_scores(store: Store, after: int, until: int) -> Scores:
    found: Scores = {}
    query = (
        "SELECT peer, round, avg(mean_score_milli) AS score FROM batches WHERE round > ? AND round <= ?"
        " GROUP BY round, peer ORDER BY round"
    )
    for row in store.rows(query, after, until):
        found.setdefault(row["peer"], []).append((row["round"], round(row["score"])))
    return found
