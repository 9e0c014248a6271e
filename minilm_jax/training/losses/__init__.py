"""Losses of fine-tuning, as pure functions of a batch of vectors.

Every loss has the signature::

    loss(vectors, labels=None, *, valid=None, **options) -> scalar

- `vectors`: the columns of the data, in order: a sequence of float[B, D], one array per column, such as anchors,
  positives and negatives. Several negatives per row are several columns. Losses of cross-encoders take one "column",
  the logits, float[B, L].
- `labels`: the target column: float[B] scores, int[B] classes, or float[B, N] scores of a teacher; None for losses that
  need no labels.
- `valid`: bool[B], false for rows that only pad the batch; or None if all rows count. Padding rows change neither the
  value nor any gradient, whatever they contain.
- `ids`: int[B, C], equal for equal texts, see `text_ids`. Losses that compare each text with all others take it.

A loss computes in float32 (float64 vectors stay float64), covers all rows of the given batch, and has no state. It can
be jitted, differentiated, and given arrays that are split over a mesh with axes of type Auto. Options such as `scale`
are Python values: set them with `functools.partial`. `matryoshka` and `splade` return losses with the same signature.

`LOSSES` maps names to the losses and to the data that each needs. `as_loss` returns such an entry for a name, a
function of this package, or any function of `(vectors, labels)`: its `check` compares the data with the loss, and a
call passes `valid` and `ids` only to functions that take them.

The public names are listed in `__init__.pyi`; each is imported when it is first used (SPEC 1).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
