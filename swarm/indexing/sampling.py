"""Why this module exists: who must catch up cannot score everything again; a drawn part tells about the rest.

Of a round that is read in haste, an onlooker checks all signatures, the root over all contributions, the table's hash,
root and total; and of the drawn cohorts everything, down to what each of their contributions earned. Who is drawn is
fixed by the round's seed, so nobody knows it before the round, and every onlooker reads the same part. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocol.ids import ContentId
from protocol.messages import CreditTable, Proposal
from protocol.run import RunSpec
from rewards.economics import economics_of, round_pay
from rewards.ledger import Verified, contributions_tree
from rewards.pending import pending_in
from swarm.indexing.gathering import RoundReading


def check_sample(
    run: RunSpec,
    reading: RoundReading,
    proposal: Proposal,
    verified: Mapping[ContentId, Verified],
    before: CreditTable | None,
    after: CreditTable,
) -> tuple[str, str]:
    """How far a round was checked in haste, and why not further: a level of ``RoundChecked`` and words.

    ``verified``: what the drawn contributions earned before the newcomers' floor and shares."""
    authors = reading.authors(proposal)
    if len(authors) < len(proposal.contributions):
        return "root", f"{len(proposal.contributions) - len(authors)} of its contributions were not seen."
    if contributions_tree(authors.items()).root != proposal.result.contributions_root:
        return "differs", "Its contributions are not those whose root the chain recorded."
    due = {content for peer, content in authors.items() if peer in reading.closely_read}
    if due - verified.keys():
        return "root", f"{len(due - verified.keys())} of {len(due)} drawn contributions could not be scored again."
    economics, recorded = economics_of(run), pending_in(after)
    rounds = {row.peer: row.rounds for row in before.rows} if before is not None else {}
    wrong = 0
    for content in due:
        work = verified[content]
        pay = round_pay(
            economics,
            work.micro_credits,
            rounds.get(work.peer, 0),
            punctual=work.punctual,
            replayable=work.replayable,
        )
        wrong += content not in recorded or recorded[content][1].micro_credits > pay
    if wrong:
        return "differs", f"{wrong} of {len(due)} contributions that were scored again earned less than was recorded."
    return "sampled", f"{len(due)} of {len(authors)} contributions were scored again, and earned what was recorded."
