"""Every failure is one leaf of one tree, and its exit code is part of the contract with scripts."""

import pytest

from protocol import errors

EXIT_CODES = {
    "SwarmError": 1,
    "ConfigError": 2,
    "NotBuiltYet": 2,
    "IdentityError": 3,
    "NetworkError": 4,
    "ChainError": 5,
    "ChainUnreachable": 4,
    "BondMissing": 5,
    "VerificationError": 6,
    "NotReproducible": 2,
    "NumericsError": 1,
    "OutOfMemory": 1,
    "StepFailed": 1,
    "BadRecord": 1,
}


def tree(kind: type[errors.SwarmError]) -> set[type[errors.SwarmError]]:
    return {kind}.union(*(tree(child) for child in kind.__subclasses__() if child.__module__ == errors.__name__))


def test_the_tree_and_its_exit_codes_are_these():
    assert {kind.__name__: kind.exit_code for kind in tree(errors.SwarmError)} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_the_module_draws_every_leaf(name):
    assert name in (errors.__doc__ or "")


def test_an_error_reads_as_sentences_and_keeps_them_apart():
    error = errors.ConfigError("No file.", "Nothing was started.", "Make one.")
    assert str(error) == "No file. Nothing was started. Make one."
    assert (error.what, error.so_what, error.next_step) == ("No file.", "Nothing was started.", "Make one.")
    assert str(errors.SwarmError("Only this.")) == "Only this."


def test_a_refusal_carries_the_contracts_own_word_for_it():
    assert errors.ChainError("Refused.", reason="NotMember").reason == "NotMember"


def test_a_bad_record_tells_the_user_that_credits_are_untouched():
    error = errors.BadRecord("oversized", "Too large.")
    assert error.reason == "oversized"
    assert "credits are not touched" in str(error)


def test_numerics_errors_name_operator_and_tensor():
    assert errors.NotReproducible("aten::erf").operator == "aten::erf"
    error = errors.NumericsError("exp", "logits")
    assert (error.operator, error.tensor) == ("exp", "logits")
    assert "exp gave NaN or infinity in logits." in str(error)
