"""`SentenceEncoder`: shapes, order, independence of texts, warnings, and the number of compilations."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.tokens.batch_shapes import MOST_PROGRAMS
from tests.helpers.threads import wait_for_threads
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import UNIT_NORM, UNIT_VECTORS

TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "",
    "Die Katze sitzt draußen.",
    "naïve café 😀👩‍👩‍👧‍👦",
    "  white \t space\n",
    "猫が外に座っている。",
    "one " * 40,
    "two words " * 90,
]


def fresh(encoder: mj.SentenceEncoder, max_seq_length: int = 256) -> mj.SentenceEncoder:
    return mj.SentenceEncoder(encoder.params, encoder.config, encoder.tokenizer, max_seq_length)


def test_encode_accepts_a_text_a_list_and_an_empty_list(encoder: mj.SentenceEncoder) -> None:
    assert encoder.encode("text").shape == (384,)
    assert encoder.encode(["text"]).shape == (1, 384)
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.encode(text for text in ("a", "b")).shape == (2, 384)
    assert encoder.encode(np.array(["a", "b"])).dtype == np.float32


def test_vector_depends_only_on_its_text(encoder: mj.SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    one_by_one = encoder.encode(TEXTS, batch_size=1)
    for other in (alone, backwards, one_by_one):
        np.testing.assert_allclose(other, together, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=0, atol=UNIT_NORM)


def test_longer_padding_does_not_change_the_vector(encoder: mj.SentenceEncoder) -> None:
    tokens = encoder.tokenizer(["The cat sits outside."]).tokens
    wanted = mj.embed(encoder.params, tokens.pad(np.array([0]), (1, 7)))
    for shape in ((1, 8), (3, 31), (1, 256)):
        found = mj.embed(encoder.params, tokens.pad(np.array([0]), shape))[:1]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)


def test_each_program_is_made_once(encoder: mj.SentenceEncoder) -> None:
    counted = fresh(encoder)
    texts = [f"{'word ' * (i % 20)}{i}" for i in range(500)]
    counted.encode(texts)
    made = counted.stats.compilations
    assert 1 <= made <= 4
    counted.encode(texts[::-1])
    counted.encode(texts, output_value="token_embeddings")
    assert counted.stats.compilations == made


def test_stats_count_programs_that_were_loaded(encoder: mj.SentenceEncoder) -> None:
    fresh(encoder).encode("text")
    wait_for_threads("minilm-jax-store")
    later = fresh(encoder)
    later.encode("text")
    assert (later.stats.compilations, later.stats.loaded, later.stats.compile_seconds) == (1, 1, 0)


def test_warm_up_makes_the_programs_of_a_service(encoder: mj.SentenceEncoder) -> None:
    service = fresh(encoder)
    service.warm_up(lengths=[28], batch_sizes=[1])
    made = service.stats.compilations
    assert (made, service.stats.texts, service.stats.computed_tokens) == (2, 0, 0)
    service.encode("word " * 200)
    service.encode("word " * 10)
    assert (service.stats.compilations, service.stats.computed_tokens) == (made, 256 + 28)
    service.warm_up(lengths=[16], batch_sizes=[1])
    service.warm_up(lengths=[], batch_sizes=[])
    assert service.stats.compilations == made + 1


def test_requests_of_any_size_compile_nothing_after_their_warm_up(encoder: mj.SentenceEncoder) -> None:
    service = fresh(encoder)
    service.warm_up_for_requests()
    made = service.stats.compilations
    assert made <= MOST_PROGRAMS
    for count, words in ((1, 1), (1, 40), (1, 254), (3, 10), (20, 10), (70, 12), (7, 200)):
        texts = [f"{'word ' * (words - 1)}{index}" for index in range(count)]
        vectors = service.compute(service.token_ids(texts))
        np.testing.assert_allclose(vectors, encoder.encode(texts), rtol=0, atol=UNIT_VECTORS)
    assert service.stats.compilations == made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [0]}, "lengths"),
        ({"lengths": [1.5]}, "lengths"),
        ({"lengths": [8, 257]}, "lengths has 257, but max_seq_length is 256"),
        ({"batch_sizes": [0]}, "batch_sizes"),
    ],
)
def test_warm_up_with_invalid_sizes_raises_error(
    encoder: mj.SentenceEncoder, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(mj.InputError, match=message):
        fresh(encoder).warm_up(**arguments)


def test_embed_batches_accepts_any_integer_dtype(encoder: mj.SentenceEncoder) -> None:
    texts = [["The cat sits outside.", "A man is playing guitar."], ["one"], ["two", "three"]]
    batches = [mj.tokenize(some) for some in texts]
    found = fresh(encoder).embed_batches(
        [
            mj.Batch(batches[0].input_ids.astype(np.int64), batches[0].attention_mask.astype(bool)),
            mj.Batch(batches[1].input_ids, batches[1].attention_mask),
            batches[2],
        ]
    )
    for vectors, some in zip(found, texts, strict=True):
        np.testing.assert_allclose(vectors, encoder.encode(some), rtol=0, atol=UNIT_VECTORS)


def test_embed_batches_returns_a_large_batch_in_one_piece(encoder: mj.SentenceEncoder) -> None:
    ids = np.random.default_rng(0).integers(1_000, 30_000, (80, 16)).astype(np.int32)
    batches = [mj.Batch(ids[rows], np.ones_like(ids[rows])) for rows in (slice(80), slice(3), slice(64, 80))]
    large, small, last = fresh(encoder).embed_batches(batches)
    assert len(large) == 80
    np.testing.assert_allclose(small, large[:3], rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(last, large[64:], rtol=0, atol=UNIT_VECTORS)


def test_embed_batches_with_invalid_shapes_raises_error(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="attention_mask has shape"):
        list(encoder.embed_batches([mj.Batch(np.ones((2, 3), int), np.ones((2, 4), int))]))
    with pytest.raises(mj.InputError, match="600 tokens per row"):
        list(encoder.embed_batches([mj.Batch(np.ones((1, 600), int), np.ones((1, 600), int))] * 3))


def test_embed_batches_without_a_mask_raises_error(encoder: mj.SentenceEncoder) -> None:
    ids = np.full((2, 8), 101)
    for batch in (mj.Batch(ids, None), mj.Batch(ids, None, np.zeros_like(ids))):
        with pytest.raises(mj.InputError, match="attention_mask is None"):
            list(encoder.embed_batches([batch]))


def test_embed_batches_yields_results_before_a_later_error(encoder: mj.SentenceEncoder) -> None:
    good, bad = mj.tokenize("Hello world"), mj.Batch(np.ones((2, 3), int), np.ones((2, 4), int))
    results = encoder.embed_batches([good, bad])
    np.testing.assert_allclose(next(results), [encoder.encode("Hello world")], rtol=0, atol=UNIT_VECTORS)
    with pytest.raises(mj.InputError, match="attention_mask has shape"):
        next(results)


def test_params_and_stats_are_read_only(encoder: mj.SentenceEncoder) -> None:
    for name in ("params", "stats"):
        with pytest.raises(AttributeError, match=name):
            setattr(encoder, name, None)


def test_stats_count_texts_tokens_and_padding(encoder: mj.SentenceEncoder) -> None:
    counted = fresh(encoder)
    assert counted.stats.padding == 0
    counted.encode(["Hello world", "Hello"])
    assert (counted.stats.texts, counted.stats.tokens, counted.stats.computed_tokens) == (2, 7, 18)
    assert counted.stats.padding == pytest.approx(11 / 18)


def test_truncation_warns_once_and_is_counted(encoder: mj.SentenceEncoder) -> None:
    counted = fresh(encoder, max_seq_length=8)
    with pytest.warns(UserWarning, match=r"1 of 2 texts are longer than 8 tokens \(the longest has 12\)"):
        counted.encode(["short", "ten " * 10])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counted.encode(["ten " * 10])
    assert counted.stats.truncated == 2


def test_max_seq_length_is_at_most_512(encoder: mj.SentenceEncoder) -> None:
    longer = fresh(encoder, max_seq_length=512)
    with pytest.warns(UserWarning, match="longer than 512"):
        vectors = longer.encode(["word " * 300, "word " * 100_000])
    assert np.isfinite(vectors).all()
    with pytest.raises(mj.InputError, match=r"513; the model has 512 positions"):
        fresh(encoder, max_seq_length=513)


@pytest.mark.parametrize("inputs", [None, 3, b"bytes", {"text": "a"}])
def test_encode_of_an_invalid_type_raises_error(encoder: mj.SentenceEncoder, inputs: Any) -> None:
    with pytest.raises(mj.InputError, match=f"inputs is {type(inputs).__name__}"):
        encoder.encode(inputs)


@pytest.mark.parametrize("prompt", [None, "prompt: "])
def test_non_string_text_raises_error_with_its_index(encoder: mj.SentenceEncoder, prompt: str | None) -> None:
    texts: list[Any] = ["fine", None]
    with pytest.raises(mj.InputError, match="text 1 is NoneType"):
        encoder.encode(texts, prompt=prompt)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_below_one_raises_error(encoder: mj.SentenceEncoder, batch_size: int) -> None:
    with pytest.raises(mj.InputError, match="batch_size"):
        encoder.encode(["a"], batch_size=batch_size)


def test_progress_bar_is_shown_only_on_request(
    encoder: mj.SentenceEncoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilm_jax.progress._PROGRESS_DELAY", 0)
    encoder.encode(["a", "b"])
    encoder.encode(["a", "b"], show_progress_bar=False)
    assert capsys.readouterr().err == ""
    encoder.encode(["a", "b"], show_progress_bar=True)
    captured = capsys.readouterr()
    assert "2/2" in captured.err
    assert captured.out == ""


def test_tokenizer_of_another_model_raises_error(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.ModelFileError, match="do not belong together"):
        mj.SentenceEncoder(random_params(TINY, 0), tokenizer=encoder.tokenizer)


def test_max_seq_length_comes_from_the_folder_or_the_argument(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    assert mj.SentenceEncoder.from_pretrained(copy).max_seq_length == 256
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 77}', "utf-8")
    assert mj.SentenceEncoder.from_pretrained(copy).max_seq_length == 77
    assert mj.SentenceEncoder.from_pretrained(copy, max_seq_length=12).max_seq_length == 12
