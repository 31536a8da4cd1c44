"""Where a round's time goes: the parts add up to the whole, whatever is nested in what."""

from swarm.rounds.timing import Activity, Stopwatch


class HandClock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_nested_activities_are_charged_once_and_add_up() -> None:
    clock = HandClock()
    watch = Stopwatch(clock, Activity.WAIT)
    clock.at += 2
    with watch.during(Activity.NETWORK):
        clock.at += 3
        with watch.during(Activity.TRAIN):
            clock.at += 5
        clock.at += 1
    clock.at += 4
    total, parts = watch.lap()
    assert total == 15
    assert parts == {
        Activity.GENERATE: 0,
        Activity.TRAIN: 5,
        Activity.WAIT: 6,
        Activity.NETWORK: 4,
        Activity.CHAIN: 0,
    }


def test_a_lap_starts_from_nothing_in_the_same_activity() -> None:
    clock = HandClock()
    watch = Stopwatch(clock, Activity.GENERATE)
    clock.at += 2
    watch.lap()
    clock.at += 1
    assert watch.lap() == (1, dict.fromkeys(Activity, 0.0) | {Activity.GENERATE: 1})


def test_an_error_inside_still_ends_the_activity() -> None:
    clock = HandClock()
    watch = Stopwatch(clock, Activity.WAIT)
    try:
        with watch.during(Activity.TRAIN):
            clock.at += 1
            raise ValueError
    except ValueError:
        clock.at += 2
    assert watch.lap()[1][Activity.WAIT] == 2
