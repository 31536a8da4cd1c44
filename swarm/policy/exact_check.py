"""Why this module exists: what a completion from the network claims is compared with what would have been drawn.

Pure. A claim may hold anything: foreign ids, tokens after an end token or beyond the limit, a wrong flag.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarm.policy.base import Completion
from swarm.policy.exact_draw import Vocabulary
from swarm.policy.generate import Ids


def plausible_tokens(tokens: Sequence[int], vocabulary: Vocabulary, max_new_tokens: int) -> Ids:
    """The longest beginning that somebody could have drawn: known ids, nothing after an end token, within the limit."""
    found: list[int] = []
    for token in tokens[:max_new_tokens]:
        if not 0 <= token < vocabulary.size:
            break
        found.append(token)
        if token in vocabulary.end_ids:
            break
    return tuple(found)


def first_difference(
    completion: Completion, plausible: Ids, redrawn: Sequence[int], vocabulary: Vocabulary
) -> int | None:
    """The first wrong position, ``len(tokens)`` when the completion goes on or ends otherwise, ``None`` if it is right.

    ``redrawn``: what would be drawn after each beginning of ``plausible``, one more unless the limit is reached.
    """
    for position, (token, found) in enumerate(zip(plausible, redrawn, strict=False)):
        if token != found:
            return position
    length = len(plausible)
    has_ended = length > 0 and plausible[-1] in vocabulary.end_ids
    should_go_on = len(redrawn) > length and not has_ended
    if len(completion.tokens) > length or should_go_on or completion.ended != has_ended:
        return length
    return None
