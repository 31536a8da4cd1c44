"""Why this module exists: whether an answer is right is decided here, by parsing it, never by running it.

Answers are text from other people's models. reasoning-gym's own scorers hand some of it to ``eval``
(``binary_matrix``), so none of them is called: these verifiers see only (answer, truth, payload), cut the answer at
``ANSWER_CAP`` characters, accept plain ASCII numbers, and never raise.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, localcontext

from rewards.scoring import logic

VERIFIER_VERSION = "1"
"""Part of every task's version; changes whenever the same answer would get another score."""

ANSWER_CAP = 512
"""Characters. A longer answer is no answer: every truth of every family is far shorter."""

FULL = 1000
"""Milli. What a right answer scores."""

TRIVIAL_CONCLUSION = 250
"""Milli. A conclusion that follows but says nothing (a tautology or one bare variable)."""

_DIGITS_CAP = 80
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,80}|[0-9]{1,3}(?:,[0-9]{3}){1,26})(?:\.[0-9]{0,80})?")
_FRACTION = re.compile(r"(?:\\d?frac\{([0-9]{1,30})\}\{([0-9]{1,30})\}|([0-9]{1,30})/([0-9]{1,30}))")
_QUANTITY = re.compile(r"(?<![\w.,-])-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,80})(?:\.[0-9]{1,80})?")
_SEQUENCE = re.compile(r"[0-9+\-.,;'\"\[\]()\s]*")
_ITEM = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")

Verifier = Callable[[str, str, str], int]
"""(answer, truth, payload) -> milli."""


def verify(kind: str, answer: str, truth: str, payload: str = "") -> int:
    """0 to 1000 for ``answer``. Never raises for any ``answer``; ``kind`` is a key of ``VERIFIERS``."""
    verifier = VERIFIERS[kind]
    if len(answer) > ANSWER_CAP:
        return 0
    try:
        return verifier(answer.strip(), truth.strip(), payload)
    except (ValueError, ArithmeticError, IndexError, KeyError, RecursionError):
        return 0


def number(answer: str, truth: str, payload: str) -> int:
    """Equal value: ``+01,000.00`` is ``1000``. ``payload``: empty, or JSON with a ``tolerance`` (a decimal string)."""
    if len(answer) > _DIGITS_CAP or not _NUMBER.fullmatch(answer):
        return 0
    tolerance = Decimal(json.loads(payload)["tolerance"]) if payload else Decimal(0)
    with localcontext() as context:
        context.prec = 3 * _DIGITS_CAP
        difference = abs(Decimal(answer.replace(",", "")) - Decimal(truth))
        return FULL if difference <= tolerance else 0


def quantity(answer: str, truth: str, payload: str) -> int:
    """The same one number, whatever words, currency and units are around it: ``$1,200.50 a day`` is ``1200.5``.

    An answer with several numbers is wrong: nobody may offer a choice.
    """
    given, wanted = _only_quantity(answer), _only_quantity(truth)
    return FULL if given == wanted else 0


def exact(answer: str, truth: str, payload: str) -> int:
    """The same text, but for letter case, white space and one full stop at the end."""
    return FULL if _folded(answer) == _folded(truth) else 0


def word(answer: str, truth: str, payload: str) -> int:
    """The same word whatever its letter case; one full stop at the end is forgiven."""
    return FULL if answer.removesuffix(".").casefold() == truth.casefold() else 0


def numeral(answer: str, truth: str, payload: str) -> int:
    """The same digits of any base up to 36, leading zeros and letter case aside."""
    return FULL if (answer.lower().lstrip("0") or "0") == (truth.lower().lstrip("0") or "0") and answer else 0


def fraction(answer: str, truth: str, payload: str) -> int:
    """The same numerator over the same denominator, plain or in LaTeX; a whole number may leave out ``/1``."""
    return FULL if _read_fraction(answer) == _read_fraction(truth) else 0


def sequence(answer: str, truth: str, payload: str) -> int:
    """The same numbers in the same order; brackets, commas, quotes and line breaks between them do not matter."""
    if not _SEQUENCE.fullmatch(answer):
        return 0
    given, wanted = _ITEM.findall(answer), _ITEM.findall(truth)
    return FULL if wanted and [Decimal(item) for item in given] == [Decimal(item) for item in wanted] else 0


def conclusion(answer: str, truth: str, payload: str) -> int:
    """Any formula over the question's variables that follows from ``payload``'s premises; ``truth`` is an example."""
    question = json.loads(payload)
    formula = logic.parse_formula(answer)
    if not logic.variables_of(formula) <= set(question["variables"]):
        return 0
    if not logic.follows([logic.parse_formula(premise) for premise in question["premises"]], formula):
        return 0
    return TRIVIAL_CONCLUSION if logic.is_trivial(formula) else FULL


def _only_quantity(text: str) -> Decimal:
    found = _QUANTITY.findall(text)
    if len(found) != 1 or len(re.findall("[0-9]+", found[0])) != len(re.findall("[0-9]+", text)):
        raise ValueError("not one number")
    return Decimal(found[0].replace(",", ""))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).removesuffix(".").casefold()


def _read_fraction(text: str) -> tuple[int, int]:
    compact = re.sub(r"[\s$]", "", text)
    if re.fullmatch(r"[0-9]{1,30}", compact):
        return int(compact), 1
    match = _FRACTION.fullmatch(compact)
    if not match:
        raise ValueError("not a fraction")
    top, bottom = (part for part in match.groups() if part is not None)
    return int(top), int(bottom)


VERIFIERS: dict[str, Verifier] = {
    "number": number,
    "quantity": quantity,
    "exact": exact,
    "word": word,
    "numeral": numeral,
    "fraction": fraction,
    "sequence": sequence,
    "conclusion": conclusion,
}
