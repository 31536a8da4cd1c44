from protocol.ids import ContentId
from swarm.policy.fake import FakeEngine
from swarm.rounds.exam import Exam
from swarm.tasks.base import Question

RUN = ContentId("ab" * 32)


class Sums:
    """n + 1; the held-out ones are told apart by their text."""

    name, version, num_held_out = "sums", "1", None

    def __init__(self):
        self.asked = []

    def questions(self, seed, count, *, held_out=False, level=0):
        self.asked.append((seed, held_out))
        return tuple(Question(f"{n} + 1 = ?", str(n + 1), "sums") for n in range(count))

    def score(self, question, answer):
        return 1000 if answer.strip() == question.truth else 999


def test_only_fully_right_answers_in_the_asked_form_count():
    def pupil(prompt, _seed):
        number = int(prompt[-1].content.split()[0])
        said = number + 1 if number != 3 else 99
        return f"<think>add</think><answer>{said}</answer>" if number != 5 else str(said)

    exam = Exam(Sums(), RUN, 8, 120)
    assert exam.num_questions == 8
    assert exam.take(FakeEngine(pupil)) == 6


def test_everybody_in_a_run_takes_the_same_held_out_exam_and_greedily():
    tasks = [Sums(), Sums(), Sums()]
    seeds = []

    def pupil(_prompt, seed):
        seeds.append(seed)
        return ""

    for task, run in zip(tasks, (RUN, RUN, ContentId("cd" * 32)), strict=True):
        Exam(task, run, 2, 16).take(FakeEngine(pupil))
    assert tasks[0].asked == tasks[1].asked != tasks[2].asked
    assert {held_out for task in tasks for _, held_out in task.asked} == {True}
    assert set(seeds) == {0}
