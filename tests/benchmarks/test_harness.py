"""The harness of the benchmarks: processes, turns, comparison, stored results and pages. No test depends on speed."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cpu.page import PAGE
from benchmarks.harness import command, tasks
from benchmarks.harness.measuring import Plan, agreeing, agreement, calls, in_turns, rate_results, started
from benchmarks.harness.plot import draw
from benchmarks.harness.report import Page
from benchmarks.harness.results import OURS, LevelResults, Report, Result
from benchmarks.harness.tasks import encode, seconds
from benchmarks.harness.worker import Worker, WorkerError
from tests.benchmarks.fake_model import FakeContender, FakeModel
from tests.helpers.paths import DOCS

TEXTS = ["one", "two and three"]
FAKE_PAGE = Page("# Fake", "fraction of ceiling", {"fake": ("Fake level", "Lengths of texts.")}, empty="Nothing yet.")


def plan(*contenders: FakeContender) -> Plan:
    return Plan(folder=Path(), contenders=contenders, precisions=["float32"], rounds=3)


def fake(name: str, constant: float = 1.0) -> FakeContender:
    return FakeContender(name, "fake", ("fake",), ("float32",), constant=constant)


def fake_level(plan: Plan) -> Iterator[Result]:
    with started(plan, "fake", "float32") as workers:
        kept = agreeing(workers, plan, "float32", encode, TEXTS)
        times = in_turns(calls(kept, seconds, encode, TEXTS), plan.rounds)
        yield from rate_results("two texts", "float32", times, len(TEXTS), "texts/s", ideal_seconds=0.0)


def test_run_measures_saves_and_reports_contenders_that_agree(tmp_path: Path) -> None:
    data, report = tmp_path / "fake.json", Report({"CPU": "fake, 1 cores"})
    run = plan(fake(OURS), fake("same"), fake("different", constant=2.0))
    command.measure({"fake": fake_level}, run, {"size": "small"}, report, data)
    assert Report.read(data) == report
    level = report.levels["fake"]
    assert [(result.contender, result.unit, len(result.values)) for result in level.results] == [
        (OURS, "texts/s", 3),
        ("same", "texts/s", 3),
    ]
    assert level.notes == [
        "same, float32: largest difference from minilm-jax 0.0e+00",
        "different, float32: left out: its vectors differ by 1.0e+00 from those of minilm-jax",
    ]
    assert level.conditions["rounds"] == "3"
    assert level.conditions["size"] == "small"
    page = FAKE_PAGE.render(report)
    assert "## Fake level\n\nLengths of texts.\n\n### float32\n\n| workload" in page
    assert "| two texts | same       |" in page
    assert "- CPU: fake, 1 cores" in page


def test_page_without_results_says_so() -> None:
    assert FAKE_PAGE.render(Report({})) == "# Fake\n\nNothing yet.\n"


def test_tasks_run_in_turns_and_keep_the_order_of_their_rounds() -> None:
    order: list[str] = []

    def task(name: str) -> int:
        order.append(name)
        return len(order)

    assert in_turns({name: lambda name=name: task(name) for name in "AB"}, rounds=2) == {"A": [1, 3], "B": [2, 4]}
    assert "".join(order) == "ABAB"


def test_worker_runs_functions_in_one_separate_process() -> None:
    with Worker() as worker:
        assert worker(os.getpid) == worker(os.getpid) != os.getpid()


def test_worker_reports_the_exceptions_and_the_end_of_its_process() -> None:
    with Worker() as worker:
        with pytest.raises(WorkerError, match="ValueError: invalid literal"):
            worker(int, "x")
        with pytest.raises(WorkerError, match="the process ended with code 3"):
            worker(os._exit, 3)


def test_rounded_vectors_agree_by_their_cosine_at_any_length() -> None:
    ours = np.eye(4, dtype=np.float32)
    assert agreement(ours, 2 * ours, "int8", 0.9) == "mean cosine with minilm-jax 1.0000"
    with pytest.raises(ValueError, match=r"a mean cosine of 0\.000"):
        agreement(ours, ours[::-1], "int8", 0.9)


def test_measuring_one_precision_again_keeps_the_results_of_the_others() -> None:
    def level(precision: str, value: float) -> LevelResults:
        result = Result("work", precision, OURS, "s", [value])
        return LevelResults({}, [f"peer, {precision}: note {value}"], [result])

    report = Report({})
    for results in (level("float32", 1), level("int8", 2), level("float32", 3)):
        report.add("a", results)
    assert [(each.precision, each.median) for each in report.levels["a"].results] == [("int8", 2), ("float32", 3)]
    assert report.levels["a"].notes == ["peer, int8: note 2", "peer, float32: note 3"]


def test_results_of_another_machine_are_not_resumed(tmp_path: Path) -> None:
    data, level = tmp_path / "a.json", LevelResults({}, [], [])
    Report({"CPU": "a"}, {"a": level}).save(data)
    assert Report.resume(data, {"CPU": "a"}).levels == {"a": level}
    assert Report.resume(data, {"CPU": "b"}).levels == {}
    assert Report.resume(tmp_path / "missing.json", {"CPU": "a"}).levels == {}


@pytest.mark.parametrize("chosen", [["a,c"], ["a", "c"], ["c,a"]])
def test_levels_are_separated_by_commas_or_spaces(chosen: list[str]) -> None:
    parser = command.parser("fake", None, "abc", ["float32"], Path("fake.md"))
    assert set(parser.parse_args(["--levels", *chosen]).levels) == {"a", "c"}
    assert parser.parse_args([]).levels == ["a", "b", "c"]


def test_unknown_level_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parser("fake", None, "abc", ["float32"], Path("fake.md")).parse_args(["--levels", "a,x"])
    assert "x: choose from a, b, c" in capsys.readouterr().err


def test_documentation_page_and_chart_come_from_the_stored_results(tmp_path: Path) -> None:
    report = Report.read(DOCS / "benchmarks.json")
    image = draw(report, tmp_path / "benchmarks.png")
    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    assert (DOCS / "benchmarks.md").read_text("utf-8") == PAGE.render(report, image)


def test_chart_is_not_drawn_without_peers(tmp_path: Path) -> None:
    only_ours = [Result("32 × 16", "int8", OURS, "tokens/s", [1.0])]
    assert draw(Report({"CPU": "fake, 1 cores"}, {"a": LevelResults({}, [], only_ours)}), tmp_path / "a.png") == ""
    assert not (tmp_path / "a.png").exists()


def test_warm_up_ends_when_two_passes_take_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9.0, 5.0, 1.02, 1.0, 1.0])
    monkeypatch.setattr(tasks, "seconds", lambda *args: next(times))
    tasks.warm_up(FakeModel(1.0), TEXTS)
    assert list(times) == [1.0]


@pytest.mark.parametrize("fewest", [1, 5])
def test_warm_up_has_a_limited_number_of_passes(fewest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[float] = []

    def encode(*_: object) -> None:
        passes.append(0)

    def seconds(*_: object) -> float:
        passes.append(2.0 ** len(passes))  # Each pass takes longer than the one before.
        return passes[-1]

    monkeypatch.setattr(tasks, "encode", encode)
    monkeypatch.setattr(tasks, "seconds", seconds)
    tasks.warm_up(FakeModel(1.0), TEXTS, fewest)
    assert len(passes) == fewest - 1 + 8


def test_only_models_with_a_method_for_it_are_prepared() -> None:
    model, prepared = FakeModel(1.0), []
    tasks.prepare(model)
    model.warm_up = lambda: prepared.append("warm")  # pyright: ignore[reportAttributeAccessIssue]
    tasks.prepare(model)
    assert prepared == ["warm"]
