"""The fixed text of `docs/gpu.md`."""

from benchmarks.harness.report import Page

PAGE = Page(
    introduction="""\
# On a GPU

Written by `make bench-gpu`; do not edit. All contenders run on one GPU, in turns, each in a separate process, warm.

- *ratio* is the value of minilm-jax divided by that of the contender, computed for each round; higher is better.
- *fraction of peak* compares the operations of the tokens, without padding, with the fastest product of bfloat16
  matrices that jax or torch reached.
- Contenders are left out if the mean cosine of their vectors with those of minilm-jax is below 0.99.""",
    ceiling="fraction of peak",
    levels={
        "products": (
            "Matrix products",
            "bfloat16: large matrices, and those of the model for the tokens of one call. minilm-jax is"
            " `jax.numpy.matmul` here, and sentence-transformers is `torch.matmul`.",
        ),
        "device": (
            "On the device",
            "Token ids are on the device before the measurement, and vectors stay there. T = 16 to 256: random tokens"
            " without padding. Mixed: about 15 to 256 tokens. minilm-jax is `jax.jit(embed)` on packed rows, as"
            " `SentenceEncoder` arranges them, with attention by XLA or, if the name says so, by cuDNN;"
            " `SentenceEncoder` chooses the faster one. Padded rows are texts of similar length, padded to the longest"
            " of their batch. sentence-transformers is the model called on such batches, with SDPA attention;"
            " torch.compile compiles its transformer once for each T, and once for mixed lengths.",
        ),
        "encode": (
            "From texts",
            "`encode`: from texts of about T tokens to float32 vectors, both in the memory of the host."
            " sentence-transformers uses batches of 512 texts, and torch.compile compiles once for all lengths."
            " Tokenization only is the tokenizer of minilm-jax on all cores.",
        ),
    },
    empty="""\
**Nothing has been measured yet**, because no GPU was available. `--smoke` runs all of it except cuDNN attention on a
CPU, which shows whether it works but not how fast it is.

## How to measure

On a machine with one GPU, a driver for CUDA 13 and Python 3.11 or newer, run

```sh
make bench-gpu
```

This installs minilm-jax with `jax[cuda13]`, torch and sentence-transformers into `.venv-gpu`, measures, and writes this
page and `gpu.json` next to it. If these packages are already installed, `python -m benchmarks.gpu` does the same:

- `--levels device --precisions float16` measures only that part and keeps the other results of an earlier run.
- `--model FOLDER` uses a model that was copied to the machine.
- `--smoke` runs a little of everything on any device, and saves nothing.

The goals for an H100 are

- on the device, 7 million tokens/s, and twice the rate of the fastest form of sentence-transformers;
- from texts, three times the rate of sentence-transformers in float16, and nine tenths of the rate of tokenization
  alone ({doc}`cost` lists the rate per core).""",
)
