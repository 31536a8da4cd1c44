"""Whatever people keep questions in becomes the same set; what cannot be read is told in words."""

import json
import time

import pytest

from protocol.errors import ConfigError
from swarm.tasks import algebra, code_problems, reading
from swarm.tasks.files import QuestionFiles
from swarm.tasks.questions import unpack
from swarm.tasks.registry import TASKS_DIRECTORY, load_task, open_task
from swarm.tasks.word_problems import rows

PAIRS = tuple((f"What is {number} + 1?", str(number + 1)) for number in range(40))


def write(path):
    """PAIRS in the format that the path's ending names."""
    if path.suffix == ".csv":
        path.write_text("question,answer\n" + "".join(f'"{question}",{answer}\n' for question, answer in PAIRS))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"question": q, "answer": int(a)}) + "\n" for q, a in PAIRS))
    else:
        import pyarrow
        from pyarrow import parquet

        columns = {"question": [q for q, _ in PAIRS], "answer": [a for _, a in PAIRS]}
        parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_set(tmp_path, ending):
    loaded = load_task(str(write(tmp_path / f"mine{ending}")))
    assert loaded.spec.name == "mine"
    assert loaded.spec.data.check == "exact"
    assert unpack(loaded.questions, loaded.spec.data) == PAIRS


def test_a_csv_keeps_numbers_and_empty_words_as_they_are_written(tmp_path):
    (tmp_path / "mine.csv").write_text("question,answer\n" + "".join(f"q{n},0{n}.50\n" for n in range(40)) + "q,NA\n")
    loaded = load_task(str(tmp_path / "mine.csv"))
    answers = dict(unpack(loaded.questions, loaded.spec.data))
    assert answers["q7"] == "07.50"
    assert answers["q"] == "NA"


def test_columns_marks_and_checks_are_named_in_the_task_file(tmp_path):
    lines = [json.dumps({"q": f"q{n}", "a": f"because\n#### {n},000 km"}) for n in range(1, 40)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nheld_out_one_in: 4\n"
        'data: {file: data.jsonl, question: q, answer: a, answer_after: "####", check: quantity}\n'
    )
    task = open_task(*load_task(str(tmp_path / "mine.yaml")))
    question = next(question for question in task.questions(0, 20) if question.text != "q1")
    assert question.truth == f"{question.text[1:]},000 km"
    assert task.score(question, f"{question.text[1:]}000") == 1000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", '{"question": 1\nno', "damaged or of another format"),
        ("x.jsonl", '{"q": "a", "answer": "1"}', "no column 'question'; its columns are q, answer"),
        ("x.jsonl", '{"question": ["a"], "answer": "1"}', "neither text nor a number"),
        ("x.jsonl", '{"question": null, "answer": "1"}', "neither text nor a number"),
        ("x.jsonl", '{"question": "", "answer": "1"}', "holds no question that can be asked"),
        ("x.jsonl", "", "x.jsonl"),
        ("x.parquet", "PAR1 nonsense", "damaged or of another format"),
        ("x.csv", "question,answer\na,1\n", "is held out"),
    ],
)
def test_a_file_that_cannot_be_asked_from_is_refused_in_words(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_task(str(tmp_path / name))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{}", "either `file` or `hub`"),
        ("{file: x.csv, hub: y}", "either `file` or `hub`"),
        ("{file: x.txt}", "none of the endings"),
        ("{file: gone.csv}", "There is no"),
        ("{file: x.csv, check: vibes}", "no check 'vibes'"),
        ("{file: x.csv, check: 3}", "check must be text"),
        ("{file: x.csv, column: a}", "unknown: column"),
        ("{file: x.csv, check: number}", "No answer to question 1 could be right: 'one' cannot be checked as 'number'"),
    ],
)
def test_a_task_file_that_does_not_fit_its_data_is_refused_in_words(tmp_path, data, words):
    (tmp_path / "x.csv").write_text("question,answer\na,one\n")
    (tmp_path / "mine.yaml").write_text(f"name: mine\nheld_out_one_in: 4\ndata: {data}\n")
    with pytest.raises(ConfigError, match=words):
        load_task(str(tmp_path / "mine.yaml"))


def test_the_shipped_word_problems_are_what_their_recipe_makes_and_right(tmp_path):
    made = list(rows())
    loaded = load_task("word_problems")
    results = [row["answer"].rpartition("#### ")[2] for row in made]
    assert unpack(loaded.questions, loaded.spec.data) == tuple(
        (row["question"], result) for row, result in zip(made, results, strict=True)
    )
    for row in made[:100]:
        last = row["answer"].splitlines()[-2]
        assert row["answer"].rpartition("#### ")[2] in last


def test_a_kept_set_is_found_again_and_a_damaged_one_is_not(tmp_path):
    files = QuestionFiles(tmp_path / "questions")
    loaded = load_task("word_problems")
    content = loaded.spec.data.content
    assert files.find(content) is None
    files.keep(loaded.questions)
    assert files.find(content) == loaded.questions
    (tmp_path / "questions" / content).write_bytes(loaded.questions[:-1])
    assert files.find(content) is None


def test_a_line_of_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    for name, head in (("x.jsonl", b'{"question": "'), ("x.csv", b"question,answer\na,")):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(2**29)  # holes: it takes no room, and is all zeros
        started_at = time.monotonic()
        with pytest.raises(ConfigError, match=r"Line [12] of x\.\w+ is longer than 1048576 bytes"):
            load_task(str(tmp_path / name))
        assert time.monotonic() - started_at < 5


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    for name in ("x.jsonl", "x.csv", "x.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**30)
        with pytest.raises(ConfigError, match="larger than 512 MB"):
            load_task(str(tmp_path / name))


def test_a_parquet_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    import pyarrow
    from pyarrow import parquet

    monkeypatch.setattr(reading, "FILE_CAP", 2 << 20)
    columns = {"question": ["x" * 100_000] * 30, "answer": ["1"] * 30}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet", use_dictionary=False, compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 2 << 20
    with pytest.raises(ConfigError, match="larger than 2 MB"):
        load_task(str(tmp_path / "x.parquet"))


@pytest.mark.parametrize("answer", ["\u0662", "ﬁn", "\u202e21", "e\u0301", "\U0001f600", "\x00", "NaN"])
def test_answers_in_any_script_are_kept_and_are_right(tmp_path, answer):
    rows = [{"question": f"q{n}", "answer": answer} for n in range(40)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = open_task(*load_task(str(tmp_path / "x.jsonl")))
    question = task.questions(0, 1)[0]
    assert task.score(question, answer) == 1000
    assert task.score(question, "12") == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"question": "\\ud800", "answer": "1"}', "damaged or of another format"),
        ('{"question": "a", "answer": true}', "neither text nor a number"),
        ('{"question": "a", "answer": {"b": 1}}', "neither text nor a number"),
        ('{"question": "a", "answer": "1"}\n{"question": {"b": 1}, "answer": "1"}', "x.jsonl"),
        ('["a", "1"]', "x.jsonl"),
        ("\n\n\n", "x.jsonl"),
        ("{}\n{}", "x.jsonl"),
        ("\ufeff" * 10, "x.jsonl"),
    ],
)
def test_rows_of_wrong_types_are_refused_in_words(tmp_path, content, words):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_task(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{file: x.csv, check: code}", "cannot be checked as 'code'.*its tests are not asserts only: 'one'"),
        ("{file: x.csv, check: exact, limit_s: 3}", "have limits"),
        ("{file: x.csv, check: code, limit_s: 0}", "limit_s must be a whole number from 1 to 60"),
        ("{file: x.csv, check: code, limit_s: 61}", "limit_s must be a whole number from 1 to 60"),
        ("{file: x.csv, check: code, memory_mb: 1.5}", "memory_mb must be a number"),
    ],
)
def test_limits_and_tests_that_cannot_be_are_refused_in_words(tmp_path, data, words):
    (tmp_path / "x.csv").write_text("question,answer\na,one\n")
    (tmp_path / "mine.yaml").write_text(f"name: mine\nheld_out_one_in: 4\ndata: {data}\n")
    with pytest.raises(ConfigError, match=words):
        load_task(str(tmp_path / "mine.yaml"))


def test_the_shipped_samples_are_what_their_recipes_make():
    for recipe, column in ((code_problems, "tests"), (algebra, "answer")):
        name = recipe.__name__.rpartition(".")[2]
        lines = (TASKS_DIRECTORY / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == list(recipe.rows())
        assert all(json.loads(line)[column] for line in lines)
