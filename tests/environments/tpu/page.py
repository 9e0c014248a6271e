"""The page `docs/tpu.md`: programs compiled for TPUs."""

from collections.abc import Sequence

_HEAD = """# On a TPU

`embed` runs on a TPU without changes. This page is written by `make test-tpu`, which compiles it for one chip and for
four, with the compiler in `libtpu`, on a machine without a TPU. Rows are split over the chips, and each chip has all
weights. The page shows compiled programs; nothing was measured.

The test asserts for every line below that

- the program compiles, and no chip waits for another chip or for the host;
- its peak memory fits into the memory of the chip;
- the floating-point operations counted by XLA are within 15 % of the formula 2·L·(4·D² + 2·D·F) + 4·L·T·D per token (L
  layers, hidden size D, feed-forward size F, T tokens per row). So nothing is computed twice or unnecessarily.

The columns are

- *rows × tokens*: the batch of each chip in one call; *packed* rows contain several texts;
- *counted*: the operations counted by XLA divided by those of the formula, and *GFLOP* their number, per chip. Neither
  includes the unused part of a matrix unit, which is 128 or 256 wide, for a head that is 32 wide;
- *GB moved*: the bytes that all operations of a call read and write, as XLA counts them; *GB peak*: the peak memory;
  both per chip;
- *by FLOPs* and *by bytes*: tokens/s of all chips together if only the operations or only the bytes mattered, at the
  published peak rates of [v5e](https://docs.cloud.google.com/tpu/docs/v5e) (197 TFLOP/s in bfloat16, 819 GB/s, 16 GB)
  and [v6e](https://docs.cloud.google.com/tpu/docs/v6e) (918 TFLOP/s, 1,638 GB/s, 32 GB). The lower one is the estimate.
  A float32 product counts as six bfloat16 products, which is how it is computed with full accuracy.

"""

_COLUMNS = (
    "chips",
    "precision",
    "rows × tokens",
    "counted",
    "GFLOP",
    "GB moved",
    "GB peak",
    "by FLOPs",
    "by bytes",
)


def render(rows: Sequence[Sequence[str]]) -> str:
    """Return the page."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *rows]
    return _HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)
