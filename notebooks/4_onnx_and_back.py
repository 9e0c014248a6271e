# %% [markdown]
# # From ONNX and back: forms, precision, quality
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/4_onnx_and_back.ipynb)
#
# One model comes in many ONNX files: exported, fused, in half precision, in 8 bits. The converter reads the weights out of all
# of them, and writes them back. Here some are made, converted, and compared; then the encoder itself is run in fewer bits.

# %%
# Installs minilm-jax where it is missing, as on Colab, and leaves the jax that is there as it is.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("minilm_jax") is None:
    source = "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", source, "sympy", f"jax=={version('jax')}"], check=True
    )

# %%
import collections
import inspect
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime

import minilm_jax as mj
from convert.default_model import default_onnx_file
from convert.onnx_to_flax import convert
from convert.pipeline import convert_to_folder, folder_to_onnx
from convert.reading.onnx_file import read_onnx
from minilm_jax.nn.params import flatten

here = Path(tempfile.mkdtemp())
path = default_onnx_file()
graph = onnx.load(path).graph
operators = collections.Counter(node.op_type for node in graph.node)
print(f"{len(graph.node)} nodes of {len(operators)} kinds; most often {operators.most_common(4)}")

# %% [markdown]
# ## ONNX to Flax
#
# An ONNX graph is a list of small operators and anonymous arrays. The converter looks for the shape of a BERT in it: six
# times attention and a feed-forward network, between LayerNorms. Which array is which follows from where it is used.

# %%
folder, record = convert_to_folder(out=here / "flax")
kinds = collections.Counter(" and ".join(weight["undone"]) or "as it is" for weight in record["weights"].values())
print(f"{len(record['weights'])} arrays were found: {dict(kinds)}")
assert all(proof["largest_difference"] < 1e-5 for proof in record["proof"]["outputs"].values())

params = mj.load_params(folder)

# %% [markdown]
# ## And back
#
# `flax_to_onnx` writes a clean graph of opset 17 with a dynamic batch and length, in float32, float16 or int8. Each file is
# read back and compared before it is put in its place.

# %%
files = {"as obtained": path}
for precision in ("float32", "float16", "int8"):
    files[f"written in {precision}"] = here / f"{precision}.onnx"
    folder_to_onnx(folder, files[f"written in {precision}"], precision=precision)
    print(f"{precision}: {files[f'written in {precision}'].stat().st_size / 1e6:.0f} MB")

# %% [markdown]
# onnxruntime's tools write other forms. Its optimiser fuses operators into ones of its own; its quantiser rounds weights to
# 8 bits and measures activations while the graph runs.

# %%
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model

plain = str(files["written in float32"])
for name in ("fused", "quantised"):
    files[f"{name} by onnxruntime"] = here / f"{name}.onnx"
fused = optimize_model(plain, model_type="bert", num_heads=12, hidden_size=384, opt_level=0)
fused.save_model_to_file(str(files["fused by onnxruntime"]))
quantize_dynamic(plain, files["quantised by onnxruntime"])

for name in ("fused by onnxruntime", "quantised by onnxruntime"):
    new = collections.Counter(node.op_type for node in onnx.load(files[name]).graph.node)
    print(f"{name}: {dict((new - operators).most_common(3))}")

# %% [markdown]
# All of them convert, each proved against its own graph. The float32 forms give the same bits. The others give the float32
# numbers that their weights stand for, which are rounded.

# %%
wanted = flatten(params)
differences = {}
for name, file in files.items():
    found = flatten(convert(read_onnx(file).model).params)
    differences[name] = max(np.abs(found[leaf] - np.asarray(wanted[leaf])).max() for leaf in found)
    print(f"{name:24} {len(found)} arrays, largest difference {differences[name]:.0e}")

assert differences["as obtained"] == differences["written in float32"] == differences["fused by onnxruntime"] == 0
assert 0 < differences["written in float16"] < 1e-2
assert 0 < differences["written in int8"] < 1e-1
assert 0 < differences["quantised by onnxruntime"] < 1e-1

# %% [markdown]
# What onnxruntime computes from our file is what the encoder computes.

# %%
batch = mj.tokenize(["A cat sleeps.", "Stock markets fell after the announcement."])
session = onnxruntime.InferenceSession(files["written in float32"], providers=["CPUExecutionProvider"])
feeds = {name: np.asarray(array, np.int64) for name, array in batch._asdict().items()}
theirs = session.run(["last_hidden_state"], feeds)[0]
ours = np.asarray(jax.jit(mj.encode)(params, batch).last_hidden_state)

mask = np.asarray(batch.attention_mask, bool)
print("largest difference below 1e-5:", bool(np.abs(theirs - ours)[mask].max() < 1e-5))
assert np.abs(theirs - ours)[mask].max() < 1e-5

# %% [markdown]
# ## Precision
#
# `cast` gives the params fewer bits; `embed` stays the same function. `"bfloat16"` halves the memory of the weights.
# `"int8"` holds kernels and activations in 8 bits and needs no data to calibrate it. On a CPU it is more than twice as fast.


# %%
def megabytes(params):
    """Returns the size of params in memory."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params)) / 1e6


encoders = {p: mj.SentenceEncoder.from_pretrained(folder, precision=p) for p in ("float32", "bfloat16", "int8")}
for precision in encoders:
    print(f"{precision:9} {megabytes(mj.cast(params, precision)):4.0f} MB")
assert megabytes(mj.cast(params, "int8")) < megabytes(mj.cast(params, "bfloat16")) < megabytes(params) / 1.9

# %% [markdown]
# ## Quality
#
# What does that cost? Two hundred texts that ship with Python are embedded in each precision. The cosine with float32 says
# how far a vector moved. What a search sees is whether a text keeps its ten nearest neighbours.

# %%
import argparse
import email.message
import logging
import pathlib
import statistics
import threading

modules = (argparse, collections, email.message, inspect, logging, pathlib, statistics, tempfile, threading)
texts = sorted(
    {
        doc.split("\n\n")[0]
        for module in modules
        for _, owner in inspect.getmembers(module, inspect.isclass)
        for _, member in inspect.getmembers(owner, inspect.isroutine)
        if (doc := inspect.getdoc(member)) and 30 < len(doc.split("\n\n")[0]) < 120
    }
)[:200]
vectors = {precision: encoder.encode(texts) for precision, encoder in encoders.items()}
exact = vectors["float32"]
print(len(texts), "texts, for example:", repr(texts[100][:70]))


# %%
def neighbours(vectors):
    """Returns the ten nearest other texts of each text."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    return np.argsort(-similarity, axis=1)[:, :10]


figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for precision, colour in {"bfloat16": "tab:blue", "int8": "tab:orange"}.items():
    cosine = np.sum(vectors[precision] * exact, axis=1)
    kept = np.mean(
        [len({*a} & {*b}) / 10 for a, b in zip(neighbours(vectors[precision]), neighbours(exact), strict=True)]
    )
    print(f"{precision:9} mean cosine {cosine.mean():.4f}, smallest {cosine.min():.4f}, neighbours kept {kept:.1%}")
    ax.hist(np.log10(np.maximum(1 - cosine, 1e-7)), bins=40, range=(-7, -2), color=colour, alpha=0.8, label=precision)
    assert cosine.min() > {"bfloat16": 0.9999, "int8": 0.99}[precision]
    assert kept > {"bfloat16": 0.98, "int8": 0.9}[precision]
ax.set(
    xlabel="1 − cosine with float32",
    ylabel="texts",
    xticks=range(-7, -1),
    xticklabels=[f"$10^{{{i}}}$" for i in range(-7, -1)],
)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# `docs/quality.md` has the same over 2,000 texts, beside the int8 of other runtimes.
