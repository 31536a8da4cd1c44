"""The propositional parser keeps the usual precedence and refuses everything else."""

import pytest

from rewards.scoring.logic import follows, is_trivial, parse_formula


def test_precedence_is_not_and_or_implies_iff():
    assert parse_formula("¬P ∧ Q ∨ R → P ↔ Q") == ("P", "¬", "Q", "∧", "R", "∨", "P", "→", "Q", "↔")


def test_implication_groups_to_the_right_and_parentheses_override():
    assert parse_formula("P → Q → R") == ("P", "Q", "R", "→", "→")
    assert parse_formula("(P → Q) → R") == ("P", "Q", "→", "R", "→")


@pytest.mark.parametrize("text", ["", "P Q", "P ∧", "∧ P", "(P", "P)", "()", "P ∧ ∨ Q", "P & Q", "p", "¬", "P¬"])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError, match=r"formula|notation|long"):
        parse_formula(text)


def test_modus_ponens_follows_and_its_converse_does_not():
    implication = parse_formula("P → Q")
    assert follows([implication, parse_formula("P")], parse_formula("Q"))
    assert not follows([implication, parse_formula("Q")], parse_formula("P"))


def test_everything_follows_from_a_contradiction():
    assert follows([parse_formula("P ∧ ¬P")], parse_formula("Q"))


def test_tautologies_and_bare_variables_are_trivial():
    assert is_trivial(parse_formula("P ∨ ¬P"))
    assert is_trivial(parse_formula("P"))
    assert not is_trivial(parse_formula("P ∨ Q"))


def test_too_many_variables_are_refused():
    with pytest.raises(ValueError, match="too many"):
        is_trivial(parse_formula("∧".join("ABCDEFGHIJKL")))
