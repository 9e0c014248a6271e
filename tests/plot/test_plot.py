"""Plots: their content, their labels, and the arguments that they reject."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import pyplot

import minilm_jax as mj
from minilm_jax import plot
from minilm_jax.cli import main, model_command
from minilm_jax.errors import InputError
from minilm_jax.plot import style
from tests.helpers.small_heads import NLI, cross_encoder
from tests.helpers.tolerances import ATTENTION_WEIGHTS, MAP_DISTANCES

FORMULA = "it costs $5 or $6, \n or 10^2"


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    mpl.use("agg")
    yield
    pyplot.close("all")


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn(ax) -> bytes:
    """Return the plot as PNG; drawing fails on any warning of matplotlib, such as a missing glyph."""
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


# similarity_heatmap


def test_heatmap_shows_the_matrix_with_texts_and_values() -> None:
    matrix = np.array([[1, 0.5, -0.004], [0.5, 1, 0.25]], np.float32)
    ax = plot.similarity_heatmap(matrix, ["one", FORMULA], ["one", FORMULA, "x" * 99])
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), matrix)
    assert labels(ax.yaxis) == ["one", "it costs $5 or $6, or 10^2"]
    assert labels(ax.xaxis)[2] == "x" * 35 + "…"
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.50", "0.00", "0.50", "1.00", "0.25"]
    assert drawn(ax)


def test_heatmap_shows_many_texts_as_labels_and_very_many_as_row_numbers() -> None:
    ax = plot.similarity_heatmap(np.eye(50), [f"text {i}" for i in range(50)])
    assert labels(ax.yaxis)[49] == "text 49"
    assert not ax.texts
    ax = plot.similarity_heatmap(np.eye(300), [f"text {i}" for i in range(300)])
    assert "text 1" not in labels(ax.yaxis)
    assert max(style.figure(ax).get_size_inches()) < 16


def test_plots_are_drawn_on_given_axes() -> None:
    axes = pyplot.subplots(1, 2)[1]
    assert plot.similarity_heatmap(np.eye(2), ["a", "b"], ax=axes[0]) is axes[0]
    assert plot.corpus_map(np.eye(3), ax=axes[1]) is axes[1]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (0, 0), (4,)])
def test_heatmap_rejects_a_matrix_that_does_not_match_its_texts(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="the matrix has shape"):
        plot.similarity_heatmap(np.zeros(shape), ["a"] * min(3, *shape))


# corpus_map


def test_corpus_map_shows_the_two_directions_of_largest_variance() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(50, 2)) @ np.array([[0, 5.0, 0, 0], [0, 0, 0, 1.0]]) + 3
    ax = plot.corpus_map(vectors)
    points = np.asarray(ax.collections[0].get_offsets())
    # The vectors are in a plane, so the projection preserves all distances.
    np.testing.assert_allclose(
        np.linalg.norm(points - points[0], axis=1), np.linalg.norm(vectors - vectors[0], axis=1), atol=MAP_DISTANCES
    )
    assert np.var(points, axis=0).argmax() == 0
    assert "component 1 (9" in ax.get_xlabel()


def test_corpus_map_labels_do_not_overlap() -> None:
    vectors = np.repeat(np.random.default_rng(0).normal(size=(40, 8)), 3, axis=0)
    texts = [f"{FORMULA} {i}" for i in range(120)]
    ax = plot.corpus_map(vectors, texts)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert 20 < len(boxes) < 120
    assert not any(box.count_overlaps(boxes[:i]) for i, box in enumerate(boxes))
    assert drawn(ax)


def test_corpus_map_groups_have_colors_and_a_legend() -> None:
    ax = plot.corpus_map(np.eye(6), groups=["a", "b", None, "a", None, 3])
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "3"]
    assert [len(np.asarray(points.get_offsets())) for points in ax.collections] == [2, 2, 1, 1]
    assert drawn(ax)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vectors": np.eye(2)}, r"shape \(2, 2\)"),
        ({"vectors": np.zeros(9)}, r"shape \(9,\)"),
        ({"vectors": np.eye(3), "texts": ["a"]}, "3 vectors and 1 texts"),
        ({"vectors": np.eye(3), "groups": [1] * 4}, "3 vectors and 4 groups"),
        ({"vectors": np.eye(3), "method": "pcs"}, "one of pca, tsne, umap"),
    ],
)
def test_corpus_map_rejects_invalid_arguments(arguments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot.corpus_map(**arguments)


# attention_map and saliency


def test_attention_map_shows_one_head_or_the_mean(encoder: mj.SentenceEncoder) -> None:
    ax = plot.attention_map(encoder, "A kitten is napping.", layer=2)
    assert labels(ax.yaxis) == ["[CLS]", "a", "kitten", "is", "nap", "##ping", ".", "[SEP]"]
    heads = [
        np.asarray(plot.attention_map(encoder, "A kitten is napping.", layer=2, head=i).images[0].get_array())
        for i in range(12)
    ]
    np.testing.assert_allclose(
        np.asarray(ax.images[0].get_array()), np.mean(heads, axis=0), rtol=0, atol=ATTENTION_WEIGHTS
    )
    np.testing.assert_allclose(np.sum(heads, axis=2), 1, rtol=0, atol=ATTENTION_WEIGHTS)
    assert "layer 2, mean of 12 heads" in ax.get_title()
    assert drawn(ax)


def test_attention_map_rejects_a_head_that_does_not_exist(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(InputError, match="head is 12; the model has 12"):
        plot.attention_map(encoder, "a", head=12)


def test_saliency_of_a_pair_shows_contributions_to_its_logit(folder: Path) -> None:
    model = cross_encoder(folder)
    pair = "How many people?", "Three million people."
    ax, logit = plot.saliency(model, *pair), model.predict(pair, activation_fn="identity")
    assert ax.get_title(loc="left").startswith(f"Logit {logit:.2f}")
    assert [text.get_text() for text in ax.texts] == ["How", "many", "people", "?", "Three", "million", "people", "."]
    with pytest.raises(InputError, match="the model has 3 labels"):
        plot.saliency(cross_encoder(folder, NLI), "a", "b")


def test_saliency_shows_every_word_in_lines_that_fit_the_axes(encoder: mj.SentenceEncoder) -> None:
    text = f"A kitten, {FORMULA}, is napping. " * 3
    ax = plot.saliency(encoder, text, "The cat sleeps.")
    assert "".join(word.get_text() for word in ax.texts) == "".join(f"{text}The cat sleeps.".split())
    assert drawn(ax)
    frame = ax.get_window_extent()
    boxes = [word.get_window_extent() for word in ax.texts]
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 + 3 for box in boxes)
    assert not any(box.padded(-2).count_overlaps(boxes[:i]) for i, box in enumerate(boxes))
    # The words with the largest contributions have the darkest colors.
    darkest = sorted(
        zip(ax.patches, ax.texts, strict=True), key=lambda pair: float(np.asarray(pair[0].get_facecolor())[:3].sum())
    )
    assert {word.get_text() for _, word in darkest[:2]} <= {"cat", "sleeps", "kitten", "napping"}


# Command line


def test_similarity_command_writes_a_plot(
    encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    for name, start in {"a.png": b"\x89PNG", "b.SVG": b"<?xml", "c.pdf": b"%PDF"}.items():
        result = CliRunner().invoke(main, ["similarity", "A cat.", "日本 🐈 $", "--plot", str(tmp_path / name)])
        assert (result.exit_code, result.stderr) == (0, "")
        assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(("name", "message"), [("a.jpg", "one of .png, .svg, .pdf"), ("a", "one of .png")])
def test_similarity_command_rejects_other_image_formats_before_loading_the_model(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: pytest.fail("the model was loaded"))
    result = CliRunner().invoke(main, ["similarity", "a", "b", "--plot", name])
    assert result.exit_code == 2
    assert message in result.stderr


def test_missing_packages_are_reported_with_the_command_that_installs_them() -> None:
    code = """
import sys
sys.modules |= {"sklearn.manifold": None, "umap": None, "matplotlib": None}
from minilm_jax import plot
from minilm_jax.errors import InputError
for call in (
    lambda: plot.similarity_heatmap([[1]], ["a"]),
    lambda: plot.corpus_map([[1], [2], [3]], method="tsne"),
    lambda: plot.corpus_map([[1], [2], [3]], method="umap"),
):
    try:
        call()
    except InputError as error:
        print(error)
"""
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert [line.partition("pip install ")[2] for line in lines] == ["'minilm-jax[plot]'", "scikit-learn", "umap-learn"]
