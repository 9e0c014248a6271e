"""`train`: it lowers the loss, keeps the best model, and resumes with identical results."""

import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.nn.params import flatten
from minilm_jax.training import train
from minilm_jax.training.log import read_log
from tests.helpers.paths import ROOT
from tests.helpers.small_heads import NLI, cross_encoder, sparse_encoder
from tests.helpers.training import PAIRS, SCORED, quick, small_encoder

DROPOUT = {"dropout": True}


@pytest.fixture(scope="module")
def model(folder: Path) -> mj.SentenceEncoder:
    return small_encoder(folder)


def losses(result) -> list[float]:
    return [entry["loss"] for entry in result.log if "loss" in entry]


def leaves(model) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in flatten(model.params).items()}


def assert_identical(a, b) -> None:
    for path, leaf in leaves(a).items():
        np.testing.assert_array_equal(leaf, leaves(b)[path], err_msg=path)


def test_training_lowers_the_loss_and_leaves_the_model_unchanged(model) -> None:
    before = leaves(model)
    result = train(model, PAIRS, options=quick(max_steps=40))
    assert losses(result)[-1] < 0.8 * losses(result)[0]
    assert result.steps == 40
    assert_identical(model, model.with_params(mj.EncoderParams({**model.params}, model.config)))
    for path, leaf in before.items():
        np.testing.assert_array_equal(leaf, leaves(model)[path])
    assert result.model.encode(["a cat"]).shape == (1, 24)


def test_two_runs_are_identical_and_seeds_and_dropout_differ(model) -> None:
    first, second, other, without = (
        train(model, PAIRS, options=quick(**changes)) for changes in (DROPOUT, DROPOUT, {**DROPOUT, "seed": 1}, {})
    )
    assert_identical(first.model, second.model)
    assert losses(first)[0] != losses(other)[0]
    assert losses(first)[0] != losses(without)[0]


def test_chunks_give_the_same_result(model) -> None:
    whole, chunked = (train(model, PAIRS, options=quick(batch_size=8, chunk_tokens=tokens)) for tokens in (None, 64))
    np.testing.assert_allclose(losses(whole), losses(chunked), rtol=1e-5)


@pytest.mark.parametrize("count", [2, 8])
def test_devices_give_the_same_result(folder: Path, model, count: int) -> None:
    one = train(model, PAIRS, options=quick(batch_size=8))
    several = train(small_encoder(folder, devices=jax.devices()[:count]), PAIRS, options=quick(batch_size=8))
    np.testing.assert_allclose(losses(one), losses(several), rtol=1e-5)


def test_own_loss_gets_the_vectors_and_the_labels(model) -> None:
    def distance(vectors, labels):
        return jnp.mean((jnp.sum(vectors[0] * vectors[1], axis=1) - labels) ** 2)

    own = train(model, SCORED, distance, options=quick())
    known = train(model, SCORED, "cosine_similarity", options=quick())
    np.testing.assert_allclose(losses(own), losses(known), rtol=1e-4)


def test_frozen_params_and_the_unused_pooler_do_not_change(model) -> None:
    result = train(model, PAIRS, options=quick(freeze=("embeddings.*", "*.attention.*")))
    before, after = leaves(model), leaves(result.model)
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed
    assert all(path.startswith("encoder.layer.0.") and ".attention." not in path for path in changed)


def test_low_rank_updates_are_merged_at_the_end(model) -> None:
    result = train(model, PAIRS, options=quick(lora_rank=2, learning_rate=1e-2))
    before, after = leaves(model), leaves(result.model)
    update = after["encoder.layer.0.intermediate.dense.kernel"] - before["encoder.layer.0.intermediate.dense.kernel"]
    assert np.linalg.matrix_rank(update, tol=1e-5) == 2
    np.testing.assert_array_equal(
        before["encoder.layer.0.intermediate.dense.bias"], after["encoder.layer.0.intermediate.dense.bias"]
    )
    assert losses(result)[-1] < losses(result)[0]


def test_accumulation_updates_after_several_batches(model) -> None:
    once = train(model, PAIRS, options=quick(max_steps=1, accumulation=2, warmup=0, schedule="constant"))
    assert_identical(once.model, model)
    twice = train(model, PAIRS, options=quick(max_steps=2, accumulation=2, warmup=0, schedule="constant"))
    assert not np.array_equal(
        leaves(twice.model)["embeddings.LayerNorm.bias"], leaves(model)["embeddings.LayerNorm.bias"]
    )


def test_bfloat16_keeps_float32_weights(model) -> None:
    result = train(model, PAIRS, options=quick(precision="bfloat16"))
    assert {leaf.dtype for leaf in leaves(result.model).values()} == {np.dtype(np.float32)}
    assert losses(result)[-1] < losses(result)[0]


def test_cross_encoder_learns_its_labels(folder: Path) -> None:
    rows = [(a, b, index % 3) for index, (a, b) in enumerate(PAIRS)]
    result = train(cross_encoder(folder, NLI), rows, options=quick(max_steps=30))
    assert losses(result)[-1] < losses(result)[0]
    assert isinstance(result.model, mj.CrossEncoder)
    assert result.model.predict(PAIRS[:2]).shape == (2, 3)


def test_sparse_encoder_is_trained(folder: Path) -> None:
    result = train(sparse_encoder(folder), PAIRS, "multiple_negatives_ranking", options=quick(batch_size=3))
    assert losses(result)[-1] < losses(result)[0]


def worse_later(model) -> float:
    """Return scores that fall with the training, because the params move."""
    return -float(np.abs(leaves(model)["encoder.layer.0.output.LayerNorm.bias"] - START).max())


START = np.zeros(0)


def test_best_model_is_returned(model, tmp_path: Path) -> None:
    global START
    START = leaves(model)["encoder.layer.0.output.LayerNorm.bias"]
    options = quick(max_steps=9, evaluations=2, checkpoints=0)
    result = train(model, PAIRS, options=options, evaluator=worse_later, output_dir=tmp_path / "run")
    evaluations = [entry for entry in result.log if "scores" in entry]
    assert [entry["step"] for entry in evaluations] == [0, 3, 6, 9]
    assert result.before == {"score": 0.0}
    assert result.after == evaluations[1]["scores"]
    assert {"score": worse_later(result.model)} == result.after
    card = (tmp_path / "run" / "README.md").read_text()
    assert "multiple_negatives_ranking" in card
    assert "| score | -0.0000 | -0.00" in card


def test_folder_is_a_model_and_continues_a_finished_run(model, tmp_path: Path) -> None:
    result = train(model, PAIRS, options=quick(), output_dir=tmp_path)
    assert_identical(mj.SentenceEncoder(tmp_path), result.model)
    again = train(model, PAIRS, options=quick(), output_dir=tmp_path)
    assert_identical(again.model, result.model)
    assert again.log == result.log == [*read_log(tmp_path / "training.jsonl")]
    with pytest.raises(mj.InputError, match="a run with other options"):
        train(model, PAIRS, options=quick(seed=3), output_dir=tmp_path)
    with pytest.raises(mj.InputError, match="a run with other loss"):
        train(model, PAIRS, "multiple_negatives_symmetric_ranking", options=quick(), output_dir=tmp_path)
    with pytest.raises(mj.InputError, match="a run with other data"):
        train(model, PAIRS[1:], options=quick(), output_dir=tmp_path)


@pytest.mark.parametrize(
    ("rows", "loss", "message"),
    [
        ([(*pair, 5) for pair in PAIRS], "cosine_similarity", "the label of row 1 is 5"),
        ([(*pair, 0.5) for pair in PAIRS[:-1]] + [(*PAIRS[0], -2.0)], "cosine_similarity", "row 12 is -2.0"),
        (PAIRS, "cross_entropy", "not for a SentenceEncoder"),
        (PAIRS, "triplet", "needs anchor, positive, negative"),
    ],
)
def test_data_that_does_not_fit_the_loss_is_an_error(rows, loss: str, message: str, model) -> None:
    with pytest.raises(mj.InputError, match=message):
        train(model, rows, loss, options=quick())


def test_classes_of_a_cross_encoder_are_checked(folder: Path) -> None:
    with pytest.raises(mj.InputError, match="row 2 is 3, but this loss needs labels from 0 to 2"):
        train(cross_encoder(folder, NLI), [("a", "b", 0), ("a", "b", 3)], options=quick(batch_size=2))


def test_loss_that_is_not_finite_stops_the_run_with_its_rows(model, tmp_path: Path) -> None:
    def broken(vectors, labels):
        return jnp.mean(vectors[0]) * jnp.where(jnp.max(labels) > 0.9, jnp.nan, 1.0)

    with pytest.raises(mj.InputError, match=r"the loss is nan at step \d \(epoch \d.*rows are .*Lower learning_rate"):
        train(model, SCORED, broken, options=quick(), output_dir=tmp_path)
    assert all(np.isfinite(entry["loss"]) for entry in read_log(tmp_path / "training.jsonl"))


def interrupted_run(model, output: Path) -> None:
    """Train until the first evaluation after the start, which Ctrl-C interrupts."""
    calls = iter([0.0])

    def evaluator(_) -> float:
        if (score := next(calls, None)) is None:
            raise KeyboardInterrupt
        return score

    with pytest.raises(KeyboardInterrupt):
        train(model, PAIRS, options=quick(checkpoints=0), evaluator=evaluator, output_dir=output)


def test_interrupted_run_continues_at_the_same_step(model, tmp_path: Path) -> None:
    interrupted_run(model, tmp_path)
    assert (tmp_path / "checkpoints" / "3").is_dir()
    resumed = train(model, PAIRS, options=quick(checkpoints=0), output_dir=tmp_path)
    assert_identical(resumed.model, train(model, PAIRS, options=quick()).model)


def run(folder: Path, output: Path, *events: str) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own."""
    command = [sys.executable, "-m", "tests.helpers.training_run", str(folder), str(output), *events]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted."""
    output = tmp_path_factory.mktemp("whole")
    found = run(folder, output)
    assert found.returncode == 0, found.stderr
    return output


def test_killed_run_resumes_with_identical_weights(folder: Path, whole: Path, tmp_path: Path) -> None:
    # Before the first checkpoint, between two of them, and after the best one.
    for step in (1, 3, 7):
        assert run(folder, tmp_path, "--kill", str(step)).returncode == -signal.SIGKILL
    assert run(folder, tmp_path).returncode == 0
    assert_identical(mj.SentenceEncoder(tmp_path), mj.SentenceEncoder(whole))
    assert without_rates(tmp_path) == without_rates(whole)


def test_full_disk_stops_the_run_and_keeps_earlier_checkpoints(folder: Path, whole: Path, tmp_path: Path) -> None:
    found = run(folder, tmp_path, "--fill-disk", "5")
    assert found.returncode == 1
    assert "the checkpoint could not be written" in found.stderr
    assert "Traceback" not in found.stderr.splitlines()[-1]
    assert run(folder, tmp_path).returncode == 0
    assert_identical(mj.SentenceEncoder(tmp_path), mj.SentenceEncoder(whole))


def without_rates(output: Path) -> list[dict]:
    return [{**entry, "steps_per_second": 0} for entry in read_log(output / "training.jsonl")]
