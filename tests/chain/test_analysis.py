"""What a static analyser says about the contracts; it takes minutes, so it has a file, and a worker, of its own."""

import re
from pathlib import Path

import pytest

from chain import analysis

FINDINGS = Path(__file__).parents[2] / "docs" / "contracts-findings.md"


@pytest.mark.integration
def test_the_analyser_finds_nothing_without_an_answer():
    answered = set(re.findall(r"^- `([^`]+)`", FINDINGS.read_text(), flags=re.MULTILINE))
    assert set(analysis.findings()) == answered
