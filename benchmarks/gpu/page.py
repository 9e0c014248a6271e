"""The report of a GPU: a page of markdown with a table for each level and precision."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.report import lines, table
from benchmarks.results import LevelResults, Report, Result

_COLUMNS = ("", "contender", "", "of the products' rate", "minilm-jax over it, median [min – max]", "goal")

_PAGE = """\
# On a GPU

Written by `make bench-gpu`; do not edit. On one GPU, the contenders in turns, each in a process of its own, warm. A
ratio is minilm-jax's number over the other's, round by round; more is better. The products' rate is the most that any
product of bfloat16 matrices reached, by jax or by torch: the fraction of it that the additions and multiplications of
the tokens come to, with no padding counted. Whose vectors have a mean cosine with ours below 0.99 is left out.

{levels}
"""

_NOTHING = """\
**No numbers have been taken yet**: there was no GPU. All that would be measured, but cuDNN's attention, has been run on
a CPU by `--smoke`, which says nothing of how fast it is.

## How to take them

On a machine with one GPU, a driver for CUDA 13 and Python 3.11 or newer:

```sh
make bench-gpu
```

It installs minilm-jax with `jax[cuda13]`, torch and sentence-transformers into `.venv-gpu`, measures, and writes this
page and `gpu.json` beside it. Where these are installed already, `python -m benchmarks.gpu` does the same:

- `--levels device --precisions float16` measures that part and keeps what an earlier run found of the rest.
- `--model FOLDER` takes a model that was copied there.
- `--smoke` runs a little of everything on any device, and keeps nothing.

The goals, on an H100: on the device 7 million tokens a second, and twice what any form of sentence-transformers
reaches; from texts three times what it reaches in float16, and nine tenths of the rate of tokenizing alone, for which
{doc}`cost` has what a core does."""

_LEVELS = {
    "products": (
        "Products of matrices",
        "bfloat16: large matrices, and those of the model at so many tokens a call. minilm-jax stands for"
        " `jax.numpy.matmul`, sentence-transformers for `torch.matmul`.",
    ),
    "device": (
        "On the device",
        "Token ids lie on the device, and vectors stay there. T = 16 to 256: random tokens, none of them padding."
        " Mixed: about 15 to 256 tokens. minilm-jax is `jax.jit(embed)` over packed rows, as `SentenceEncoder` lays"
        " them out, with attention by XLA or, where its name says so, by cuDNN; `SentenceEncoder` takes the faster."
        " Padded rows are texts of like length, padded to the longest of their batch, and so are the batches of"
        " sentence-transformers, which is the model called on tensors, with SDPA attention; torch.compile compiles"
        " its transformer, for each T anew, for mixed lengths once.",
    ),
    "encode": (
        "From texts",
        "`encode`: texts of about so many tokens in memory to float32 vectors in memory. sentence-transformers"
        " takes 512 texts a batch, and torch.compile compiles once for all lengths. Tokenizing alone is that of"
        " minilm-jax, on all cores.",
    ),
}


def page(report: Report) -> str:
    """Returns the page, which says how to take the numbers where there are none."""
    found = [_level(name, report.levels[name]) for name in _LEVELS if name in report.levels]
    machine = [f"## Machine\n\n{_list(report.machine)}"] if found else []
    return _PAGE.format(levels="\n\n".join([*found, *machine]) or _NOTHING)


def _level(name: str, level: LevelResults) -> str:
    title, text = _LEVELS[name]
    notes = "".join(f"\n- {note}" for note in dict.fromkeys(level.notes))
    parts = [f"## {title}", textwrap.fill(text, 120), *_tables(name, level.results), _list(level.conditions) + notes]
    return "\n\n".join(parts)


def _tables(name: str, results: Sequence[Result]) -> Iterator[str]:
    for precision in dict.fromkeys(result.precision for result in results):
        yield f"### {precision}"
        yield table([_COLUMNS, *lines(name, [result for result in results if result.precision == precision])])


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
