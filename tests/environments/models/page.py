"""Write `docs/tested-models.md`: architecture, route, pooling, source and result of every comparison."""

_HEAD = """# Tested models

This table is written by `make test-models`. Each row compares minilm-jax with another library on the same weights and
inputs. The columns:

- *prompts*: those that the authors of the model recommend for queries and passages. Prompts are used if the model's
  `config_sentence_transformers.json` states them, as in sentence-transformers; others are set by
  `SentenceEncoder(name, prompts={"query": …, "document": …})`.
- *route*: how the weights were read: a folder of the hub, an ONNX file, or both.
- *weights*: the real ones, or random ones in the sizes of the real `config.json`. Random weights show that the
  computation is the same, not that the vectors are good.
- *layers*: the largest absolute difference of any value in any layer, where the other library shows them.
- *vectors*: the largest absolute difference between sentence vectors, divided by their length. For cross-encoders, that
  between logits, and for sparse encoders, that between weights; divided by the largest value if that is above 1.

| model | architecture | dimensions | pooling | prompts | route | weights | compared with | layers | vectors |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def render(rows: list[tuple[str, ...]]) -> str:
    """Return the text of the page."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
