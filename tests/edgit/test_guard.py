"""The guard: its laws over generated readings, and whole watches against a server that plays a script of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import comb
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgit.commands.shapes import of_watch
from edgit.errors import EdgitError, NotReached
from edgit.guard.judgement import CHANCE, COVERED, Verdict, judged, surprise
from edgit.guard.metrics import read, source
from edgit.guard.observations import Observations, observed
from edgit.guard.readings import InvalidWatch, NoData, Rate, Reading, Subject, Totals
from edgit.guard.rules import IN_A_ROW, WatchRules, every_of, percent
from edgit.guard.watch import RollBackFailed, WatchOutcome, WatchStep, guard, line, settling, watch

SUBJECT = Subject("my-prompt", "prod", "v1.1.0")
RULES = WatchRules(threshold=0.01, window=60, min_requests=20, every=5)
BY_HAND = "edgit rollback my-prompt --from prod"
READINGS = 13
NOTHING = NoData("it answered 503")

#: From good to bad.
BADNESS = {Verdict.GOOD: 0, Verdict.UNKNOWN: 1, Verdict.BREACH: 2}


@dataclass
class World:
    """A clock that only sleeping moves, a pointer, and what was done to it."""

    now: float = 1000.0
    live: str | None = "v1.1.0"
    slept: list[float] = field(default_factory=list)
    shown: list[WatchStep] = field(default_factory=list)
    rolled_back: int = 0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def roll_back(self) -> str:
        self.rolled_back += 1
        self.live = "v1.0.0"
        return "prod is back at v1.0.0."

    def guard(
        self, read: Callable[[], Reading], rules: WatchRules = RULES, subject: Subject = SUBJECT, **other: Any
    ) -> WatchOutcome:
        options: dict[str, Any] = {"live": lambda: self.live, "roll_back": self.roll_back, **other}
        return guard(
            subject,
            rules,
            read=read,
            by_hand=BY_HAND,
            show=self.shown.append,
            clock=lambda: self.now,
            sleep=self.sleep,
            **options,
        )


def script(readings: Iterable[Reading]) -> Callable[[], Reading]:
    """The readings in turn; it fails when one more is asked for."""
    remaining = iter(readings)
    return lambda: next(remaining)


def counters(*additions: tuple[int, int], start: tuple[int, int] = (700, 100_000)) -> list[Reading]:
    """Readings of two counters: the start, then one for each addition of errors and requests."""
    errors, requests = start
    readings: list[Reading] = [Totals({"e": errors}, {"r": requests})]
    for more_errors, more_requests in additions:
        errors, requests = errors + more_errors, requests + more_requests
        readings.append(Totals({"e": errors}, {"r": requests}))
    return readings


def run(readings: Sequence[Reading], rules: WatchRules = RULES) -> WatchOutcome:
    """A watch over just these readings, spread evenly over the window."""
    world = World()
    return watch(
        SUBJECT,
        rules,
        read=script(readings),
        live=lambda: world.live,
        by_hand=BY_HAND,
        clock=lambda: world.now,
        sleep=world.sleep,
    )


# Generated readings

failing = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))
additions = st.lists(failing, min_size=READINGS - 1, max_size=READINGS - 1)
no_data = st.builds(NoData, st.sampled_from(["it answered 503", "the answer is empty"]))
rates = st.builds(Rate, st.floats(0, 1), st.none() | st.integers(0, 100).map(float))
holes = st.lists(st.booleans(), min_size=READINGS, max_size=READINGS)
thresholds = st.floats(0, 0.99)


def pierced(readings: Sequence[Reading], lost: Sequence[bool]) -> list[Reading]:
    return [NOTHING if hole else reading for reading, hole in zip(readings, lost, strict=True)]


class TestLaws:
    @given(st.lists(no_data, min_size=READINGS, max_size=READINGS), thresholds, st.integers(0, 50))
    def test_no_data_is_neither_good_nor_bad(self, readings: list[Reading], threshold: float, least: int) -> None:
        outcome = run(readings, WatchRules(threshold, min_requests=least))
        assert outcome.verdict is Verdict.UNKNOWN
        assert "there is no data" in outcome.reason

    @given(additions, thresholds, st.integers(0, 200))
    def test_counters_decide_as_a_division_at_the_end_would_or_earlier_on_a_breach(
        self, added: list[tuple[int, int]], threshold: float, least: int
    ) -> None:
        outcome = run(counters(*added), WatchRules(threshold, min_requests=least))
        taken = added[: len(outcome.steps) - 1]
        errors, requests = sum(e for e, _ in taken), sum(r for _, r in taken)
        enough = requests >= max(1, least)
        match outcome.verdict:
            case Verdict.BREACH:
                assert enough
                assert errors / requests > threshold
            case Verdict.GOOD:
                assert len(taken) == len(added)
                assert enough
                assert errors / requests <= threshold
            case _:
                assert len(taken) == len(added)
                assert not enough

    @given(additions, holes, thresholds, st.data())
    def test_more_errors_are_never_better(
        self, added: list[tuple[int, int]], lost: list[bool], threshold: float, data: st.DataObject
    ) -> None:
        worse = [(data.draw(st.integers(errors, requests)), requests) for errors, requests in added]
        rules = WatchRules(threshold)
        before = run(pierced(counters(*added), lost), rules)
        after = run(pierced(counters(*worse), lost), rules)
        assert BADNESS[after.verdict] >= BADNESS[before.verdict]

    @given(st.lists(rates, min_size=READINGS, max_size=READINGS), holes, thresholds, st.data())
    def test_higher_rates_are_never_better(
        self, readings: list[Rate], lost: list[bool], threshold: float, data: st.DataObject
    ) -> None:
        worse = [Rate(data.draw(st.floats(reading.rate, 1)), reading.requests) for reading in readings]
        rules = WatchRules(threshold)
        before, after = run(pierced(readings, lost), rules), run(pierced(worse, lost), rules)
        assert BADNESS[after.verdict] >= BADNESS[before.verdict]

    @given(st.lists(rates | no_data, min_size=READINGS, max_size=READINGS), thresholds, st.integers(0, 50))
    def test_rates_decide_by_enough_readings_in_a_row(
        self, readings: list[Reading], threshold: float, least: int
    ) -> None:
        rules = WatchRules(threshold, min_requests=least)
        outcome = run(readings, rules)
        told = [
            reading.rate
            for reading in readings[: len(outcome.steps)]
            if isinstance(reading, Rate) and (reading.requests is None or reading.requests >= max(1, least))
        ]
        if outcome.verdict is Verdict.BREACH:
            assert len(told) >= IN_A_ROW
            assert all(rate > threshold for rate in told[-IN_A_ROW:])
        if outcome.verdict is Verdict.GOOD:
            assert len(told) >= IN_A_ROW
            assert all(rate <= threshold for rate in told[-IN_A_ROW:])

    @given(additions, holes, thresholds)
    def test_good_was_seen_over_most_of_the_window(
        self, added: list[tuple[int, int]], lost: list[bool], threshold: float
    ) -> None:
        outcome = run(pierced(counters(*added), lost), WatchRules(threshold))
        seen = [number * 5 for number, hole in enumerate(lost) if not hole]
        assume(seen)
        if outcome.verdict is Verdict.GOOD:
            assert seen[-1] - seen[0] >= COVERED * 60

    @given(additions, st.lists(st.sampled_from("abc"), min_size=READINGS - 1, max_size=READINGS - 1))
    def test_it_is_the_same_of_one_counter_and_of_its_parts(
        self, added: list[tuple[int, int]], served: list[str]
    ) -> None:
        counts = {"a": (5, 500), "b": (0, 70)}  # `c` starts within the window
        readings: list[Reading] = []
        for by, (errors, requests) in [("a", (0, 0)), *zip(served, added, strict=True)]:
            was = counts.get(by, (0, 0))
            counts[by] = (was[0] + errors, was[1] + requests)
            readings.append(
                Totals({by: errors for by, (errors, _) in counts.items()}, {by: r for by, (_, r) in counts.items()})
            )
        whole, parts = run(counters(*added)), run(readings)
        assert (whole.verdict, whole.steps[-1].rate) == (parts.verdict, parts.steps[-1].rate)

    @given(additions, st.sets(st.integers(1, READINGS - 1), max_size=2))
    def test_a_restart_invents_nothing(self, added: list[tuple[int, int]], restarts: set[int]) -> None:
        seen = observed(Observations(), 0.0, Totals({}, {"r": 1000}), RULES)
        total, true, hidden = 1000, 0, False
        for number, (_, requests) in enumerate(added, start=1):
            # A restart after which more was counted than before it looks like none.
            hidden |= number in restarts and requests >= total > 0
            total = requests if number in restarts else total + requests
            true += requests
            seen = observed(seen, number * 5.0, Totals({}, {"r": total}), RULES)
        _, counted, _ = seen.figures
        assert counted is not None
        assert counted <= true
        assert hidden or counted == true

    @given(st.integers(1, 200), st.integers(0, 200), st.floats(0.001, 0.9))
    def test_surprise_is_never_below_the_exact_chance(self, requests: int, errors: int, rate: float) -> None:
        assume(errors <= requests)
        exact = sum(comb(requests, k) * rate**k * (1 - rate) ** (requests - k) for k in range(errors, requests + 1))
        assert surprise(errors, requests, rate) >= exact - 1e-9
        if errors:
            assert surprise(errors, requests, rate) <= surprise(errors - 1, requests, rate)


class TestWatch:
    def test_enough_requests_and_few_errors_are_good(self) -> None:
        world = World()
        outcome = world.guard(script(counters(*[(1, 100)] * 12)))
        assert (outcome.verdict, outcome.exit_code, outcome.rolled_back) == (Verdict.GOOD, 0, None)
        assert outcome.reason == "my-prompt v1.1.0 on prod is good: 12 of 1,200 requests failed, 1%; at most 1% may."
        assert world.rolled_back == 0

    def test_a_breach_at_the_end_of_the_window_rolls_back(self) -> None:
        world = World()
        outcome = world.guard(script(counters(*[(1, 99)] * 12)))
        assert (outcome.verdict, outcome.exit_code, world.rolled_back) == (Verdict.BREACH, 1, 1)
        assert outcome.rolled_back == "prod is back at v1.0.0."
        assert outcome.steps[-1].at == 60
        assert outcome.reason == "my-prompt v1.1.0 on prod is bad: 12 of 1,188 requests failed, 1.01%; at most 1% may."

    def test_a_certain_breach_does_not_wait_for_the_end(self) -> None:
        world = World()
        outcome = world.guard(script(counters((30, 30), (30, 30))))
        assert (outcome.exit_code, outcome.steps[-1].at) == (1, 5)

    def test_one_error_of_few_requests_waits_for_the_end(self) -> None:
        assert surprise(1, 20, 0.01) > CHANCE
        outcome = World().guard(script(counters((1, 20), *[(0, 20)] * 11)))
        assert (outcome.exit_code, outcome.steps[-1].at) == (0, 60)

    def test_errors_from_before_the_watch_do_not_count(self) -> None:
        outcome = World().guard(script(counters(*[(0, 10)] * 12, start=(90_000, 100_000))))
        assert outcome.exit_code == 0

    def test_too_few_requests_tell_nothing_however_many_failed(self) -> None:
        world = World()
        outcome = world.guard(script(counters((19, 19), *[(0, 0)] * 11)))
        assert (outcome.exit_code, world.rolled_back) == (2, 0)
        assert "only 19 requests came, and 20 are wanted" in outcome.reason

    def test_just_enough_requests_are_enough(self) -> None:
        assert World().guard(script(counters((0, 20), *[(0, 0)] * 11))).exit_code == 0

    def test_before_the_end_nothing_is_good(self) -> None:
        seen = Observations()
        for number, reading in enumerate(counters(*[(0, 100)] * 11)):
            seen = observed(seen, number * 5.0, reading, RULES)
        assert judged(seen, RULES, ended=False).verdict is Verdict.UNKNOWN
        assert judged(seen, RULES, ended=True).verdict is Verdict.GOOD

    def test_no_traffic_is_not_good(self) -> None:
        outcome = World().guard(script(counters(*[(0, 0)] * 12)), WatchRules(0.01, min_requests=0))
        assert outcome.exit_code == 2
        assert "only 0 requests came, and 1 are wanted" in outcome.reason

    def test_data_that_ends_in_the_middle_is_not_good(self) -> None:
        outcome = World().guard(script([*counters(*[(0, 100)] * 5), *[NOTHING] * 7]))
        assert outcome.exit_code == 2
        assert "25 s of the window's 60 s only; 7 readings had no data: it answered 503" in outcome.reason

    def test_a_reading_lost_now_and_then_costs_nothing(self) -> None:
        readings = counters(*[(0, 100)] * 12)
        readings[0] = readings[5] = readings[12] = NOTHING
        outcome = World().guard(script(readings))
        assert outcome.exit_code == 0

    def test_the_first_errors_of_a_new_series_count(self) -> None:
        readings = [Totals({}, {"200": 100}), *[Totals({"500": 40}, {"200": 160, "500": 40})] * 12]
        outcome = World().guard(script(readings))
        assert (outcome.exit_code, outcome.steps[-1].errors, outcome.steps[-1].requests) == (1, 40, 100)

    def test_a_restart_counts_from_0(self) -> None:
        readings = [Totals({"e": 10}, {"r": 1000}), Totals({"e": 10}, {"r": 1100}), *[Totals({}, {"r": 30})] * 11]
        outcome = World().guard(script(readings))
        assert (outcome.exit_code, outcome.steps[-1].errors, outcome.steps[-1].requests) == (0, 0, 130)

    def test_an_address_that_reaches_several_processes_in_turn_tells_nothing(self) -> None:
        first, second = Totals({"e": 0}, {"r": 1000}), Totals({"e": 0}, {"r": 3000})
        outcome = World().guard(script([first, second] * 6 + [first]))
        assert outcome.exit_code == 2
        assert "several processes in turn" in outcome.reason

    def test_what_another_process_counted_long_ago_is_no_breach(self) -> None:
        first, second = Totals({"a": 0}, {"a": 1000}), Totals({"b": 900}, {"b": 3000})
        outcome = World().guard(script([first, second] * 6 + [first]))
        assert outcome.exit_code == 2
        assert "several processes in turn" in outcome.reason

    def test_more_errors_than_requests_tell_nothing(self) -> None:
        outcome = World().guard(script(counters(*[(100, 50)] * 12)))
        assert outcome.exit_code == 2
        assert "do not count the same thing" in outcome.reason

    def test_a_bare_rate_above_the_threshold_three_times_is_a_breach(self) -> None:
        world = World()
        outcome = world.guard(script([Rate(0.013)] * 3))
        assert (outcome.exit_code, outcome.steps[-1].at, world.rolled_back) == (1, 10, 1)
        assert "1.3%, 1.3%, 1.3% (the metrics do not say of how many requests); at most 1% may fail" in outcome.reason

    def test_a_bare_rate_that_is_low_to_the_end_is_good(self) -> None:
        outcome = World().guard(script([Rate(0.5), Rate(0.013), *[Rate(0.01)] * 11]))
        assert (outcome.exit_code, outcome.steps[-1].at) == (0, 60)

    def test_a_rate_that_comes_and_goes_tells_nothing(self) -> None:
        world = World()
        outcome = world.guard(script([Rate(0.5), Rate(0.5), Rate(0)] * 4 + [Rate(0)]))
        assert (outcome.exit_code, world.rolled_back) == (2, 0)

    def test_a_rate_of_few_requests_is_no_data(self) -> None:
        world = World()
        outcome = world.guard(script([Rate(0.5, 19)] * 13))
        assert outcome.exit_code == 2
        assert "the reading is of 19 requests, and 20 are wanted" in outcome.reason
        assert all(step.note for step in world.shown)

    def test_the_pointer_moved_by_somebody_else_ends_it_and_nothing_is_moved(self) -> None:
        world = World()
        readings = iter(counters(*[(50, 50)] * 12))

        def read_then_moved() -> Reading:
            reading = next(readings)
            if world.now > 1000:
                world.live = "v1.2.0"
            return reading

        outcome = world.guard(read_then_moved)
        assert (outcome.exit_code, world.rolled_back, world.live) == (2, 0, "v1.2.0")
        assert "somebody moved prod of my-prompt" in outcome.reason

    def test_a_pointer_that_is_gone_is_somebody_elses_move(self) -> None:
        outcome = World(live=None).guard(script(counters()))
        assert outcome.exit_code == 2

    def test_a_canary_is_watched_at_its_own_pointer(self) -> None:
        subject = Subject("my-prompt", "prod", "v1.1.0", canary=True)
        outcome = World().guard(script(counters(*[(0, 10)] * 12)), subject=subject)
        assert outcome.reason.startswith("my-prompt v1.1.0 on prod-canary is good")

    def test_without_a_roll_back_a_breach_is_only_told(self) -> None:
        outcome = World().guard(script([Rate(1)] * 3), roll_back=None)
        assert (outcome.exit_code, outcome.rolled_back) == (1, None)

    @pytest.mark.parametrize("when", ["read", "sleep", "show", "live"])
    def test_ctrl_c_moves_nothing_and_could_not_tell(self, when: str) -> None:
        def interrupt(*_: object) -> Any:
            raise KeyboardInterrupt

        world = World()
        calls: dict[str, Any] = {
            "read": script([Rate(1)] * 3),
            "live": lambda: "v1.1.0",
            "show": world.shown.append,
            "sleep": world.sleep,
            when: interrupt,
        }
        outcome = guard(SUBJECT, RULES, clock=lambda: world.now, roll_back=world.roll_back, by_hand=BY_HAND, **calls)
        assert (outcome.exit_code, world.rolled_back) == (2, 0)
        assert "interrupted, and nothing was moved" in outcome.reason

    def test_settling_comes_before_the_first_reading(self) -> None:
        world = World()
        first: list[float] = []

        def reading() -> Reading:
            first.append(world.now)
            return Rate(0)

        outcome = world.guard(reading, WatchRules(0.01, settle=65))
        assert (first[0], first[-1], outcome.steps[0].at) == (1065, 1125, 0)

    def test_slow_readings_keep_the_rhythm_and_the_end(self) -> None:
        world = World()

        def reading() -> Reading:
            world.now += 7
            return Rate(0)

        outcome = world.guard(reading)
        assert [step.at for step in outcome.steps] == [7, 17, 27, 37, 47, 57, 67]
        assert outcome.exit_code == 0

    def test_a_clock_that_stands_still_ends_it_too(self) -> None:
        outcome = watch(
            SUBJECT,
            RULES,
            read=lambda: Rate(0),
            live=lambda: "v1.1.0",
            by_hand="",
            clock=lambda: 0.0,
            sleep=lambda _: None,
        )
        assert outcome.exit_code == 2


class TestFailures:
    """The roll-back itself: the one case in which the version may still be live after a breach."""

    def failed(self, world: World, **other: Any) -> RollBackFailed:
        with pytest.raises(RollBackFailed) as caught:
            world.guard(script([Rate(1)] * 3), **other)
        assert caught.value.exit_code not in (0, 1, 2)
        assert caught.value.hint == f"Roll back by hand now: {BY_HAND}"
        assert "is bad: the last readings were 100%" in caught.value.detail
        return caught.value

    def test_before_anything_moved(self) -> None:
        def refuse() -> str:
            raise EdgitError("The remote refused the push.")

        detail = self.failed(World(), roll_back=refuse).detail
        assert "THE ROLL-BACK FAILED: The remote refused the push. v1.1.0 is still live on prod." in detail

    def test_after_the_pointer_moved(self) -> None:
        world = World()

        def half() -> str:
            world.live = "v1.0.0"
            raise NotReached("KV answered 503.")

        assert "prod is at v1.0.0 now, which may not be published." in self.failed(world, roll_back=half).detail

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full")])
    def test_by_anything_else(self, error: BaseException) -> None:
        def fail() -> str:
            raise error

        caught = self.failed(World(), roll_back=fail)
        assert type(error).__name__ in caught.detail
        assert caught.__cause__ is error

    def test_a_breach_at_a_pointer_that_cannot_be_read_is_loud(self) -> None:
        def unread() -> str:
            raise NotReached("git did not answer.")

        world = World()
        detail = self.failed(world, live=unread).detail
        assert "git did not answer. What prod is at now could not be read." in detail
        assert world.rolled_back == 0

    def test_a_pointer_that_cannot_be_read_is_not_good(self) -> None:
        def unread() -> str:
            raise NotReached("git did not answer.")

        outcome = World().guard(script([Rate(0)] * 13), live=unread)
        assert outcome.exit_code == 2
        assert "could not be read: git did not answer." in outcome.reason


class TestRules:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"threshold": 1},
            {"threshold": -0.1},
            {"threshold": float("nan")},
            {"window": 0},
            {"window": float("inf")},
            {"min_requests": -1},
            {"settle": -1},
            {"every": 0},
            {"every": 31},
            {"every": float("nan")},
            {"every": 1e-9},
        ],
    )
    def test_what_could_never_be_told_is_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(InvalidWatch):
            WatchRules(**{"threshold": 0.01, **wrong})  # type: ignore[arg-type]

    @given(st.floats(0.01, 1e5))
    def test_the_usual_interval_fits_every_window(self, window: float) -> None:
        WatchRules(0.01, window=window, every=every_of(window))

    def test_the_usual_interval(self) -> None:
        assert (every_of(60), every_of(6)) == (5, 1)


class TestWords:
    def test_a_line_of_progress(self) -> None:
        steps = run(counters((0, 1), *[(3, 1204)] * 11)).steps
        assert line(steps[0]) == "    0 s  0 errors of 0 requests                     unknown"
        assert line(steps[1]) == "    5 s  0 errors of 1 request                  0%  unknown"
        assert line(steps[2]) == "   10 s  3 errors of 1,205 requests         0.249%  unknown"
        assert line(steps[-1]) == "   60 s  33 errors of 13,245 requests       0.249%  good"
        lost = run([NOTHING] * READINGS).steps
        assert line(lost[0]).endswith("unknown  (it answered 503)")

    def test_json(self) -> None:
        outcome = run([Rate(0.5)] * 3)
        document = json.loads(json.dumps(of_watch(SUBJECT, RULES, outcome)))
        assert document["verdict"] == "breach"
        assert document["readings"][1] == {
            "at": 5,
            "errors": None,
            "requests": None,
            "rate": 0.5,
            "verdict": "unknown",
            "note": None,
        }

    def test_a_watch_right_after_a_move_is_warned(self) -> None:
        said = settling(SUBJECT, RULES, 3.4, own=False)
        assert said is not None
        assert "--settle 62" in said
        assert settling(SUBJECT, WatchRules(0.01, settle=62), 3.4, own=False) is None
        assert settling(SUBJECT, RULES, 65, own=False) is None
        assert settling(SUBJECT, RULES, 3.4, own=True) is None

    @pytest.mark.parametrize(("rate", "text"), [(0, "0%"), (0.01, "1%"), (0.0001234, "0.0123%"), (1, "100%")])
    def test_percentages(self, rate: float, text: str) -> None:
        assert percent(rate) == text


class TestOverHttp:
    """Everything but time is real: a server plays a script of answers, and each reading is a request."""

    @pytest.fixture
    def play(self) -> Iterator[Callable[..., str]]:
        answers: list[tuple[int, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def playing(*script: str | tuple[int, str]) -> str:
            answers.extend((200, answer) if isinstance(answer, str) else answer for answer in script)
            return f"http://127.0.0.1:{http.server_port}/error-rate"

        yield playing
        http.shutdown()
        http.server_close()
        thread.join()

    def test_the_page_s_number_rolls_back(self, play: Callable[..., str]) -> None:
        found = source(play("0.013"), SUBJECT)
        assert World().guard(lambda: read(found)).exit_code == 1

    def test_a_low_number_is_good(self, play: Callable[..., str]) -> None:
        found = source(play("0.004"), SUBJECT)
        assert World().guard(lambda: read(found)).exit_code == 0

    def test_a_server_in_trouble_could_not_tell(self, play: Callable[..., str]) -> None:
        found = source(play("0.013", (503, "0.013"), "0.013", "", "<html>", "NaN", (302, "0.5")), SUBJECT)
        world = World()
        assert world.guard(lambda: read(found)).exit_code == 2
        assert [step.note is None for step in world.shown] == [True, False, True] + [False] * 10

    def test_a_canary_is_judged_by_its_own_series(self, play: Callable[..., str]) -> None:
        def exposition(second: int) -> str:
            return "".join(
                f'http_requests_total{{version="{version}",status="{status}"}} {per_second * second}\n'
                for version, status, per_second in [
                    ("v1.0.0", "200", 1000),
                    ("v1.0.0", "500", 0),
                    ("v1.1.0", "200", 9),
                    ("v1.1.0", "500", 1),
                ]
            )

        subject = Subject("my-prompt", "prod", "v1.1.0", canary=True)
        found = source(
            play(*[exposition(second) for second in range(0, 65, 5)]),
            subject,
            errors='http_requests_total{version="{version}",status=~"5.."}',
            requests='http_requests_total{version="{version}"}',
        )
        world = World()
        outcome = world.guard(lambda: read(found), subject=subject)
        assert (outcome.exit_code, outcome.steps[-1].rate) == (1, 0.1)

    def test_counters_in_json(self, play: Callable[..., str]) -> None:
        answers = [json.dumps({"http": {"errors": 100, "requests": 5000 + 10 * number}}) for number in range(13)]
        found = source(play(*answers), SUBJECT, errors_path="http.errors", requests_path="http.requests")
        outcome = World().guard(lambda: read(found))
        assert (outcome.exit_code, outcome.steps[-1].requests) == (0, 120)
