"""The page for when something is wrong knows every name that the program can show, and no other."""

import ast
import re
from pathlib import Path

import pytest

from chain.recognition import OBSTACLES
from chain.refusals import WORDS
from protocol import errors
from protocol.errors import BadRecord, SwarmError
from protocol.events import Outcome

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SwarmError)]


def section(name):
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_section_that_names_its_exit_code(kind):
    text = section(kind.__name__)
    assert text, f"docs/troubleshooting.md has no section {kind.__name__}"
    if kind is BadRecord:
        assert text.strip().startswith("Never fatal")
    elif kind is not errors.OutOfMemory:
        assert f"Exit code {kind.exit_code}" in text
    assert len(text.split()) > 10


def test_sections_are_of_errors_that_exist():
    names = re.findall(r"^## ([A-Z]\w+)$", PAGE, re.MULTILINE)
    assert sorted(names) == sorted(kind.__name__ for kind in KINDS)


def test_every_reason_for_dropping_a_record_is_explained():
    reasons = set(re.findall(r"``(\w+)``", BadRecord.__doc__)) - {"reason"}
    listed = set(re.findall(r"`(\w+)`", "\n".join(
        line for line in section("BadRecord").splitlines() if line.startswith("| `")
    )))  # fmt: skip
    assert reasons - listed == set()
    assert listed - reasons == set()


def test_every_outcome_of_a_round_is_explained():
    listed = re.findall(r"^\| `(\w+)` \|", section("A round that went less than well"), re.MULTILINE)
    assert sorted(listed) == sorted(Outcome)


def test_reasons_of_the_chain_are_ones_that_it_gives():
    listed = set(re.findall(r"^\| `(\w+)` \|", section("ChainError"), re.MULTILINE))
    given = set(WORDS) | OBSTACLES | {"FaucetEmpty"}
    assert listed <= given
    assert listed >= {"NoGasMoney", "FeeTooHigh", "DiskFull", "WrongChain"}


def test_messages_that_it_quotes_are_the_programs_own():
    """Each *quoted* beginning occurs in some text of the source, where values stand for the dots."""
    texts = []
    for folder in ("swarm", "identity", "chain", "protocol"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    everything = "\n".join(texts)
    for quoted in re.findall(r"(?<=\*)[^*\n]+(?=\*)", "\n".join(re.findall(r"^- (\*.*?\*):", PAGE, re.MULTILINE))):
        for part in re.split(r"…|, $", quoted):
            words = part.strip(" ,")
            if len(words) > 8:
                assert words in everything, quoted


def test_links_into_the_page_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.+)$", PAGE, re.M)
    }
    for page in (ROOT / "docs").glob("*.md"):
        own = page.name == "troubleshooting.md"
        for target in re.findall(r"\((?:troubleshooting\.md)?#([\w-]+)\)" if own else r"troubleshooting\.md#([\w-]+)",
                                 page.read_text()):  # fmt: skip
            assert target in anchors, f"{page.name}: {target}"
