"""Tests are taken apart into calls and values; what cannot be taken apart is refused, and never run."""

import pytest

from swarm.judges.tests_of_code import code_in, read_tests


def test_asserts_become_calls_and_the_texts_of_their_values():
    lines = ("f(1, 2) == 3", "f([1])[0] == -1.5", "not g('a')", "g('b')", "h() == set()")
    tests = read_tests("".join(f"assert {line}\n" for line in lines))
    assert [(test.call, test.expected) for test in tests] == [
        ("f(1, 2)", "3"),
        ("f([1])[0]", "-1.5"),
        ("bool(g('a'))", "0"),
        ("bool(g('b'))", "1"),
        ("h()", "set()"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has 0 tests"),
        ("assert f(1) ==", "not Python"),
        ("import os", "not asserts only"),
        ("assert f(1) == g(1)", "no plain value"),
        ("assert f(1) == __import__('os').system('touch /tmp/x')", "no plain value"),
        ("assert 1 < f(1) < 3", "otherwise than with =="),
        ("assert f(1) != 3", "otherwise than with =="),
        ("assert f(1) == 1\n" * 41, "it has 41 tests"),
        ("#" * 9000, "longer than"),
        ("(" * 5000, "not Python"),
        ("assert f() == " + "[" * 90 + "]" * 90, "too deep"),
    ],
)
def test_what_is_no_such_test_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        read_tests(text)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("def f(): pass", "def f(): pass"),
        ("Here:\n```python\ndef f(): pass\n```\nDone.", "def f(): pass"),
        ("```\na\n```\nbetter\n```py\nb\n```", "b"),
        ("```python\nunfinished", "unfinished"),
        ("`````", "`````"),
    ],
)
def test_the_code_of_an_answer_is_its_last_fence_or_all_of_it(answer, code):
    assert code_in(answer) == code
