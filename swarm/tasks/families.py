"""Why this module exists: which families of reasoning-gym a run may ask, and how each one's answers are verified.

A family is in this table when its generator is pure CPU, offline, quick (< 1 ms a question) and a function of its
seed alone. Adding one is one line here and one file in ``configs/tasks``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Item = Mapping[str, Any]
"""What reasoning-gym returns for one index: ``question``, ``answer``, ``metadata``."""


class Family(msgspec.Struct, frozen=True):
    """How one family is read. ``verifier``: a key of ``rewards.scoring.verifiers.VERIFIERS``, given the item.

    ``payload``: what the verifier needs besides the truth, from the item and the parameters. ``caps``: upper limits of
    integer parameters, so that a stranger's run cannot make a peer generate questions for hours.
    """

    verifier: Callable[[Item], str]
    payload: Callable[[Item, Mapping[str, Any]], str] = lambda item, parameters: ""
    truth: Callable[[Item], str] = lambda item: str(item["answer"])
    caps: Mapping[str, int] = {}


DEFAULT_CAP = 16
"""Upper limit of an integer parameter that a family's ``caps`` does not name."""

_VALUES = {"min_value": 10**9, "max_value": 10**9}


def _always(kind: str) -> Callable[[Item], str]:
    return lambda item: kind


def _number_or_word(item: Item) -> str:
    return "number" if str(item["answer"]).lstrip("-").isdigit() else "word"


def _decimal_places(item: Item, parameters: Mapping[str, Any]) -> str:
    places = int(parameters.get("max_num_decimal_places", 3))
    return json.dumps({"tolerance": f"1e-{places}"})


def _premises(item: Item, parameters: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return json.dumps({"premises": metadata["premises"], "variables": metadata["variables"]}, ensure_ascii=False)


FAMILIES: dict[str, Family] = {
    "arc_1d": Family(_always("sequence"), caps={"min_size": 40, "max_size": 40}),
    "base_conversion": Family(_always("numeral"), caps={**_VALUES, "min_base": 36, "max_base": 36}),
    # Its generator lists all divisors of an intermediate product by trial: larger numbers would take minutes.
    "basic_arithmetic": Family(
        _always("number"), caps={"min_terms": 5, "max_terms": 5, "min_digits": 3, "max_digits": 3}
    ),
    "binary_matrix": Family(_always("sequence"), caps={"min_n": 12, "max_n": 12}),
    "calendar_arithmetic": Family(
        _number_or_word, caps={"year": 9000, "offset_upper_bound": 3650, "leap_year_range": 1000}
    ),
    "chain_sum": Family(_always("number")),
    "count_bits": Family(_always("number"), caps={"min_n": 2**63, "max_n": 2**63}),
    "decimal_arithmetic": Family(_always("number"), _decimal_places, caps={"precision": 50}),
    "decimal_chain_sum": Family(_always("number")),
    "fraction_simplification": Family(_always("fraction"), caps={**_VALUES, "min_factor": 10**6, "max_factor": 10**6}),
    "gcd": Family(_always("number"), caps=_VALUES),
    "lcm": Family(_always("number"), caps=_VALUES),
    "leg_counting": Family(_always("number"), caps={"min_instances": 1000, "max_instances": 1000}),
    "number_sorting": Family(_always("sequence"), caps=_VALUES),
    "products": Family(_always("number")),
    "propositional_logic": Family(
        _always("conclusion"),
        _premises,
        truth=lambda item: str(item["metadata"]["example_answer"]),
        caps={"min_vars": 6, "max_vars": 6, "min_complexity": 4, "max_complexity": 4},
    ),
}
