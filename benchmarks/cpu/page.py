"""The fixed text of `docs/benchmarks.md`."""

from benchmarks.harness.report import Page

PAGE = Page(
    introduction="""\
# Benchmarks

Written by `make bench-peers` or `make bench-scripts`; do not edit. All contenders run on one machine, in turns, each
in a separate process, warm and on all cores. Absolute values depend on the machine and on its other load; ratios
depend on them much less.

- *ratio* is the value of minilm-jax divided by that of the contender, computed for each round. For rates (tokens/s,
  texts/s) a higher ratio is better, for costs (ms, s, MB) a lower one.
- *fraction of ceiling* compares the contender with the layers' largest matrix product alone, computed by XLA in the
  same precision. The ceiling is the fastest of all rounds and counts no padding.""",
    ceiling="fraction of ceiling",
    levels={
        "a": (
            "Kernels",
            "Batches of random token ids without padding, texts × tokens each. Contenders with several workers compute"
            " independent batches concurrently. 1 × 16 is the time of a single call.",
        ),
        "b": (
            "Throughput of `encode`",
            "Texts from the documentation that is installed with Python. Short: about 15 tokens. Mixed: 5 to 256"
            " tokens, in random order. Long: about 240 tokens. Engines that accept only token ids are called by a loop"
            " that sorts texts by length and forms batches of 32. Memory is that of the process, after all three"
            " workloads.",
        ),
        "c": ("One sentence, warm", "One sentence of 17 tokens per call, after calls that warm the process up."),
        "d": (
            "Whole processes",
            "A script that starts, imports, loads the model, tokenizes, embeds all texts and exits. minilm-jax starts"
            " without stored programs (first run), and with those that the first run stored (second run); the other"
            " libraries have no such programs, so their times are compared with both runs. Engines that accept only"
            " token ids are called by the loop described above. Quantized and converted files were made beforehand, and"
            " all files are in the operating system's cache. Peak memory is the higher of both runs.",
        ),
        "e": ("Growth", "minilm-jax alone: increasing numbers of texts of about 15 tokens, in one process."),
    },
)
