"""Beam: `RunInference` on the DirectRunner."""

from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.testing.util import assert_that
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.scale.beam import MinilmJaxModelHandler
from tests.environments.engines.texts import TEXTS, assert_vectors, documented_example

Pipeline = beam.Pipeline


def pipeline() -> beam.Pipeline:
    # "DirectRunner" would first try to download another runner, and then use this one.
    return Pipeline("BundleBasedDirectRunner")


def have_vectors(expected: list[NDArray[Any] | None]) -> Callable[[Iterable[PredictionResult]], None]:
    def check(results: Iterable[PredictionResult]) -> None:
        by_text = {result.example: result for result in results}
        assert {result.model_id for result in by_text.values()} == {DEFAULT_MODEL}
        assert_vectors([by_text[text].inference for text in TEXTS], expected)

    return check


@pytest.mark.parametrize("options", [{}, {"max_batch_size": 2}, {"large_model": True}], ids=str)
def test_run_inference_gives_the_vectors_of_the_encoder(
    options: dict[str, Any], expected: list[NDArray[Any] | None]
) -> None:
    with pipeline() as p:
        results = p | beam.Create(TEXTS) | RunInference(MinilmJaxModelHandler(**options))
        assert_that(results, have_vectors(expected))


def test_keys_stay_with_their_texts(expected: list[NDArray[Any] | None]) -> None:
    def check(results: Iterable[tuple[int, PredictionResult]]) -> None:
        by_key = dict(results)
        assert_vectors([by_key[i].inference for i in range(len(TEXTS))], expected)

    with pipeline() as p:
        handler = KeyedModelHandler(MinilmJaxModelHandler())
        assert_that(p | beam.Create(list(enumerate(TEXTS))) | RunInference(handler), check)


def test_inference_args_are_passed_to_the_encoder(expected: list[NDArray[Any] | None]) -> None:
    with pipeline() as p:
        options = {"truncate_dim": 8}
        results = p | beam.Create(TEXTS) | RunInference(MinilmJaxModelHandler(), inference_args=options)
        assert_that(results, have_vectors([None if vector is None else vector[:8] for vector in expected]))


def test_value_that_is_not_a_string_fails_without_affecting_the_others() -> None:
    def check_failures(failures: Iterable[Any]) -> None:
        ((batch, (kind, message, _)),) = failures
        assert batch == [7]
        assert "InputError" in repr(kind)
        assert "must be a string" in message or "int" in message

    def check_good(results: Iterable[PredictionResult]) -> None:
        assert sorted(result.example for result in results) == ["A cat.", "A dog."]

    with pipeline() as p:
        handler = MinilmJaxModelHandler(max_batch_size=1)
        good, bad = p | beam.Create(["A cat.", 7, "A dog."]) | RunInference(handler).with_exception_handling()
        assert_that(good, check_good, "good")
        assert_that(bad.failed_inferences, check_failures, "failures")


def test_beam_counts_texts_and_bytes() -> None:
    p = pipeline()
    p | beam.Create(TEXTS) | RunInference(MinilmJaxModelHandler())
    result = p.run()
    result.wait_until_finish()
    metrics = result.metrics().query(MetricsFilter().with_namespace("MinilmJax"))
    counts = {counter.key.metric.name: counter.committed for counter in metrics["counters"]}
    assert counts["num_inferences"] == len(TEXTS)
    sizes = {found.key.metric.name: found.committed for found in metrics["distributions"]}
    assert sizes["inference_request_batch_byte_size"].sum == sum(len(text.encode()) for text in TEXTS if text)


def test_documented_example_prints_its_output(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = documented_example("apache_beam")
    monkeypatch.setattr(beam, "Pipeline", pipeline)
    exec(compile(code, "engines.md", "exec"), {})
    assert sorted(capfd.readouterr().out.splitlines()) == sorted(output.splitlines())
