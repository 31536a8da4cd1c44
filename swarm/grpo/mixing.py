"""Why this module exists: a peer learns from all its own rollouts and from a few of the others' (SAPO).

Which of the others' rollouts enter is drawn by a seed, never chosen, so the draw can be repeated by anyone who has the
same batches. Pure, on plain lists; it knows neither texts nor scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.ids import PeerId
from protocol.seeds import Part, derive_order


@dataclass(frozen=True, order=True)
class Slot:
    """One rollout in a training group: sample number ``sample`` of ``peer`` for the group's question and stage."""

    peer: PeerId
    sample: int


def mix(
    own: PeerId, num_samples: Mapping[PeerId, int], num_external: int, seed_parts: Sequence[Part]
) -> tuple[Slot, ...]:
    """The slots of one group: all of ``own`` in order, then up to ``num_external`` of the others', as drawn.

    ``num_samples`` counts what each peer published for this question and stage. ``seed_parts`` name the draw (run,
    round seed, peer, stage, question). With fewer external rollouts than wanted, all of them enter. Every published
    rollout is equally likely, whatever its score: picking the best ones would teach from luck.
    Sampling Experience from the swarm: SAPO, arXiv 2509.08721 (which draws among those with an advantage; here groups
    without one keep their slots and are masked in the loss).
    """
    mine = tuple(Slot(own, sample) for sample in range(num_samples.get(own, 0)))
    others = [Slot(peer, sample) for peer in sorted(num_samples) if peer != own for sample in range(num_samples[peer])]
    drawn = derive_order("mix", [f"{slot.peer}/{slot.sample}" for slot in others], *seed_parts)
    by_name = {f"{slot.peer}/{slot.sample}": slot for slot in others}
    return mine + tuple(by_name[name] for name in drawn[:num_external])
