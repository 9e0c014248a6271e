"""The page `docs/tpu.md`: what compiling for TPUs showed."""

from collections.abc import Sequence

_HEAD = """# On a TPU

`embed` runs on a TPU as it is. This page is written by `make test-tpu`, which compiles it on a machine without one, by
the compiler in `libtpu`, for one chip and for four: rows are split over the chips, and each has all weights. It shows
what was compiled; nothing was measured.

The test asserts of every line below that

- it compiles, and nothing in it has a chip wait for another one or for the host;
- what is taken at once fits the memory of the chip;
- XLA counts the floating-point operations of the formula, 2·L·(4·D² + 2·D·F) + 4·L·T·D a token, within 15 % (L layers,
  D hidden, F feed-forward, T tokens a row). So nothing is computed twice, or in two forms of which one is thrown away.

In the columns,

- *rows × tokens* is what each chip gets in a call; *packed* rows hold several texts;
- *counted* is XLA's number of operations over that of the formula, *GFLOP* the number itself, for each chip. A matrix
  unit is 128 or 256 wide, and what it spends on a head of 32 beyond that is in neither;
- *GB moved* is what all operations of a call read and write, by XLA's count, and *GB taken* the most memory, for each
  chip;
- *by FLOPs* and *by bytes* are tokens/s of all chips together if only that mattered, at the published peaks of
  [v5e](https://docs.cloud.google.com/tpu/docs/v5e) (197 TFLOP/s in bfloat16, 819 GB/s, 16 GB) and
  [v6e](https://docs.cloud.google.com/tpu/docs/v6e) (918 TFLOP/s, 1,638 GB/s, 32 GB). The smaller one is the estimate.
  A float32 product counts as six of bfloat16, which is how it is made up with all its digits.

"""

_COLUMNS = (
    "chips",
    "precision",
    "rows × tokens",
    "counted",
    "GFLOP",
    "GB moved",
    "GB taken",
    "by FLOPs",
    "by bytes",
)


def render(rows: Sequence[Sequence[str]]) -> str:
    """Returns the whole page."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *rows]
    return _HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)
