"""Level d runs whole processes in turns; only minilm-jax has a second run, with the programs of its first."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.cpu import whole_process
from benchmarks.harness.measuring import Plan
from benchmarks.harness.process_cost import process_cost
from benchmarks.harness.results import OURS
from benchmarks.harness.worker import Worker
from tests.benchmarks.fake_model import FakeContender

# Each process appends a line to a log: its name, the number of texts, and the programs that it found and then stores.
SCRIPT = """
import json, os, pathlib, sys
folder, precision, texts = sys.argv[1:]
programs = pathlib.Path(os.environ["MINILM_JAX_PROGRAMS"])
found = len(list(programs.iterdir()))
(programs / str(found)).touch()
with open(folder + "/log.jsonl", "a") as log:
    print(json.dumps([NAME, precision, len(json.load(open(texts))), found]), file=log)
"""


def plan(folder: Path) -> Plan:
    contenders = [
        FakeContender(name, "fake", "d", ("float32", "int8"), script=SCRIPT.replace("NAME", repr(name)))
        for name in (OURS, "peer")
    ]
    return Plan(folder=folder, contenders=contenders, precisions=["float32", "int8"], rounds=1)


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_process, "texts_of_kind", lambda kind, count: [kind] * count)
    monkeypatch.setattr(whole_process, "_JOBS", ({"short": 1}, {"short": 2, "long": 1}))


@pytest.mark.usefixtures("few_texts")
def test_second_run_loads_the_programs_of_the_first_and_peers_run_once(tmp_path: Path) -> None:
    list(whole_process.measure(plan(tmp_path)))
    turn = [(OURS, 0), (OURS, 1), ("peer", 0)]
    expected = [[name, precision, 3, found] for precision in ("float32", "int8") for name, found in turn]
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()][-6:] == expected


@pytest.mark.usefixtures("few_texts")
def test_results_compare_int8_with_float32_of_the_same_turns(tmp_path: Path) -> None:
    results = list(whole_process.measure(plan(tmp_path)))
    jobs = ("1 short text", "2 short and 1 long texts")
    assert {each.workload for each in results} == {
        f"{job}, {measured}" for job in jobs for measured in ("first run", "second run", "peak memory")
    }
    first = [each for each in results if each.workload == "1 short text, first run"]
    assert [(each.precision, each.contender) for each in first] == [
        ("float32", OURS),
        ("float32", "peer"),
        ("int8", OURS),
        ("int8", "peer"),
        ("int8", f"{OURS}, float32"),
    ]
    assert first[0].values == first[4].values


def test_cost_of_a_process_includes_its_peak_memory() -> None:
    size = 1 << 28
    with Worker() as worker:
        small, large = (
            worker(process_cost, [sys.executable, "-S", "-c", f"b' ' * {count}"], {}) for count in (1, size)
        )
    assert small.megabytes < size / 1e6 < large.megabytes


def test_failed_process_is_an_error() -> None:
    with pytest.raises(ChildProcessError, match="exit code 3"):
        process_cost([sys.executable, "-S", "-c", "raise SystemExit(3)"], {})
