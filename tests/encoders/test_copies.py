"""Copies of a `SentenceEncoder`: pickled, deep copied, in spawned and in forked processes."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import Precision

TEXTS = ["1", "2 3", "4 5 6"]
SECONDS = 120

FORK = """
import multiprocessing, sys
import minilm_jax as mj

def call(action):
    try:
        action()
        return "no error"
    except mj.MinilmJaxError as error:
        return str(error)

encoder = mj.SentenceEncoder(sys.argv[1])
vectors = encoder.encode(["1", "2"])
bits = mj.search.quantize_embeddings(vectors, "ubinary")
batch = mj.Batch(**encoder.tokenize(["1", "2"]))
actions = [
    lambda: encoder.encode("1"),
    lambda: next(encoder.encode_stream(["1"])),
    lambda: list(encoder.embed_batches([mj.Batch(vectors[:, :4].astype(int), vectors[:, :4] == 0)])),
    lambda: encoder.similarity(vectors, vectors),
    lambda: mj.search.semantic_search(vectors, vectors),
    lambda: mj.SentenceEncoder(sys.argv[1]),
    lambda: mj.embed(encoder.params, batch),
    lambda: mj.encode(encoder.params, batch),
    lambda: mj.cast(encoder.params, "int8"),
    lambda: mj.load_params(sys.argv[1]),
    lambda: mj.search.hamming_sim(bits, bits),
]

def child(queue):
    for action in actions:
        queue.put(call(action))

context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=child, args=(queue,))
process.start()
for _ in actions:
    print(queue.get())
process.join()
# A pool never returns a result if the task cannot be unpickled in its process.
with context.Pool(1) as pool:
    print(call(lambda: pool.apply(encoder.encode, (["1"],))))
"""


@pytest.mark.parametrize("precision", get_args(Precision))
def test_copies_compute_equal_vectors(precision: Precision, numbers_model: Path) -> None:
    encoder = mj.SentenceEncoder(numbers_model, precision=precision, prompts={"query": "7 "}, truncate_dim=3)
    expected = encoder.encode_query(TEXTS)
    for other in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder), copy.copy(encoder)):
        np.testing.assert_array_equal(other.encode_query(TEXTS), expected)
        assert other.stats.computed_in == encoder.stats.computed_in


def test_deep_copy_has_its_own_settings_and_counts(numbers_model: Path) -> None:
    encoder = mj.SentenceEncoder(numbers_model)
    encoder.encode(TEXTS)
    other = copy.deepcopy(encoder)
    other.max_seq_length, other.prompts["query"] = 5, "9 "
    other.encode(TEXTS)
    assert (encoder.stats.texts, other.stats.texts) == (3, 6)
    assert encoder.max_seq_length != 5
    assert encoder.prompts["query"] == ""


def test_deep_copy_shares_compiled_programs(numbers_model: Path) -> None:
    encoder = mj.SentenceEncoder(numbers_model)
    encoder.encode(TEXTS)
    other = copy.deepcopy(encoder)
    other.encode(TEXTS)
    assert other.stats.compilations == encoder.stats.compilations


def test_pickled_encoder_uses_the_same_devices(numbers_model: Path) -> None:
    encoder = mj.SentenceEncoder(numbers_model, devices=jax.devices()[2:5])
    expected, stored = encoder.encode(TEXTS), pickle.dumps(encoder)
    other = pickle.loads(stored)
    assert other.device == encoder.device == jax.devices()[2]
    np.testing.assert_array_equal(other.encode(TEXTS), expected)


def test_pickled_devices_that_do_not_exist_raise_error(numbers_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = pickle.dumps(mj.SentenceEncoder(numbers_model, devices=jax.devices()[:2]))
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    with pytest.raises(mj.InputError, match=r"pickled with devices cpu \[0, 1\], .* does not have \[1\]"):
        pickle.loads(stored)


def test_spawned_process_computes_equal_vectors(numbers_model: Path) -> None:
    encoder = mj.SentenceEncoder(numbers_model)
    expected, context = encoder.encode(TEXTS), multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        found = pool.submit(encoder.encode, TEXTS).result(SECONDS)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_forked_process_raises_an_error_at_once(numbers_model: Path) -> None:
    command = [sys.executable, "-c", FORK, str(numbers_model)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    messages = result.stdout.splitlines()
    assert len(messages) == 12
    assert all("this process was forked from process" in message for message in messages)


def test_device_is_a_device_of_jax(encoder: mj.SentenceEncoder) -> None:
    assert encoder.device in jax.devices()
