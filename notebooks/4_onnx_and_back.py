# %% [markdown]
# # From ONNX and back: file forms, precision, quality
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/4_onnx_and_back.ipynb)
#
# The same model is published in many forms of ONNX file: exported, fused, in half precision, quantized to 8 bits. The converter
# reads the weights from all of them, and writes ONNX files itself. This notebook creates several forms, converts and compares
# them, and then measures the accuracy of the encoder in lower precisions.

# %%
# Install the packages that are missing, for example on Colab. An installed jax keeps its version.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

PACKAGES = {
    "minilm_jax": "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax",
    "matplotlib": "matplotlib",
    "onnxruntime": "onnxruntime",
    "sympy": "sympy",
}
missing = [source for module, source in PACKAGES.items() if importlib.util.find_spec(module) is None]
if missing:
    pins = [f"jax=={version('jax')}"] if importlib.util.find_spec("jax") else []
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing, *pins], check=True)

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
from convert.pipeline import convert_to_folder, folder_to_onnx
from minilm_jax.nn.params import flatten

here = Path(tempfile.mkdtemp())
path = default_onnx_file()
graph = onnx.load(path).graph
operators = collections.Counter(node.op_type for node in graph.node)
print(f"{len(graph.node)} nodes with {len(operators)} operators; the most frequent: {operators.most_common(4)}")

# %% [markdown]
# ## ONNX to Flax
#
# An ONNX graph consists of small operators and of arrays whose names mean nothing. The converter looks for the structure of a
# BERT encoder: for this model, six layers of attention and feed-forward network with LayerNorm. The role of an array follows
# from the operator that uses it.

# %%
folder, record = convert_to_folder(out=here / "flax")
params = mj.load_params(folder)
print(f"found {len(record['weights'])} arrays with {sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")
assert all(comparison["largest_difference"] < 1e-5 for comparison in record["proof"]["outputs"].values())

# %% [markdown]
# ## Flax to ONNX
#
# `flax_to_onnx` writes a graph with opset 17 and dynamic batch size and length, in float32, float16 or int8. It converts
# the graph back and compares the result with the params before it writes the file.

# %%
files = {"downloaded": path}
for precision in ("float32", "float16", "int8"):
    files[precision] = here / f"{precision}.onnx"
    folder_to_onnx(folder, files[precision], precision=precision)
    print(f"{precision:8}{files[precision].stat().st_size / 1e6:3.0f} MB")

# %% [markdown]
# ## Other forms
#
# Other tools rewrite the graph and its weights. Three forms are created here from the float32 file:
#
# - *transposed*: PyTorch stores the kernel of a linear layer transposed, and some exports keep it so, with a `Transpose` node.
# - *merged*: one matrix product computes query, key and value, whose kernels and biases are concatenated.
# - *fused*: the optimizer of onnxruntime replaces groups of nodes by single ones.

# %%
from onnx import helper, numpy_helper
from onnxruntime.transformers.optimizer import optimize_model


def transpose_kernels(model):
    """Store every kernel transposed, and transpose it back in the graph."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            name = node.input[1]
            kernel = numpy_helper.to_array(tensors[name])
            tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(kernel.T), name))
            nodes.append(helper.make_node("Transpose", [name], [f"{name}.T"], perm=[1, 0]))
            node.input[1] = f"{name}.T"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def merge_attention(model):
    """Compute query, key and value of a layer with one MatMul and one Add, and split the result."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    users = {name: node for node in model.graph.node for name in node.input if name in tensors}
    for layer in range(6):
        parts = [f"encoder.layer.{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        products, sums = [users[f"{p}.kernel"] for p in parts], [users[f"{p}.bias"] for p in parts]
        for kind in ("kernel", "bias"):
            merged = np.concatenate([tensors[f"{part}.{kind}"] for part in parts], axis=-1)
            model.graph.initializer.append(numpy_helper.from_array(merged, f"qkv{layer}.{kind}"))
        nodes = [
            helper.make_node("MatMul", [products[0].input[0], f"qkv{layer}.kernel"], [f"qkv{layer}.product"]),
            helper.make_node("Add", [f"qkv{layer}.product", f"qkv{layer}.bias"], [f"qkv{layer}"]),
            helper.make_node("Split", [f"qkv{layer}"], [node.output[0] for node in sums], axis=-1),
        ]
        position = list(model.graph.node).index(products[0])
        for offset, node in enumerate(nodes):
            model.graph.node.insert(position + offset, node)
        for node in (*products, *sums):
            model.graph.node.remove(node)


for name, rewrite in {"transposed": transpose_kernels, "merged": merge_attention}.items():
    model = onnx.load(files["float32"])
    rewrite(model)
    onnx.checker.check_model(model)
    files[name] = here / f"{name}.onnx"
    onnx.save(model, files[name])

fused = optimize_model(str(files["float32"]), model_type="bert", num_heads=12, hidden_size=384, opt_level=0)
files["fused"] = here / "fused.onnx"
fused.save_model_to_file(str(files["fused"]))

# %% [markdown]
# Forms combine. Here onnxruntime converts the fused file to float16, and quantizes the merged file to 8 bits.

# %%
from onnxruntime.quantization import quantize_dynamic

fused.convert_float_to_float16(keep_io_types=True)
files["fused, float16"] = here / "fused-float16.onnx"
fused.save_model_to_file(str(files["fused, float16"]))

files["merged, quantized"] = here / "merged-quantized.onnx"
quantize_dynamic(files["merged"], files["merged, quantized"])

for name in ("transposed", "merged", "fused", "merged, quantized"):
    new = collections.Counter(node.op_type for node in onnx.load(files[name]).graph.node) - operators
    print(f"{name:18}more of {', '.join(f'{operator} ({times})' for operator, times in new.most_common(4))}")

# %% [markdown]
# ## Convert all of them
#
# Each conversion is verified against the graph of its file. The record lists, for every array, the tensor that it was read from and
# the steps that turned this tensor into the Flax array. Here are the key kernel of the first layer and the word embeddings.

# %%
records, differences = {}, {}
expected = flatten(params)
arrays = ("encoder.layer.0.attention.self.key.kernel", "embeddings.word_embeddings.embedding")

for name, file in files.items():
    output, records[name] = convert_to_folder(file, out=here / f"{name} converted", tokenizer=folder)
    found = flatten(mj.load_params(output))
    differences[name] = max(np.abs(np.asarray(found[leaf]) - np.asarray(expected[leaf])).max() for leaf in found)
    print(name)
    for array in arrays:
        weight = records[name]["weights"][array]
        steps = " → ".join(weight["undone"]) or "unchanged"
        print(f"  {weight['stored']:8}{weight['source']:47}{steps}")


def steps(name):
    """Return the steps that the record lists for the key kernel."""
    return records[name]["weights"][arrays[0]]["undone"]


assert steps("float32") == steps("fused") == []
assert steps("transposed") == ["Transpose"]
assert steps("merged") == ["columns 384:768"]
assert len(steps("int8")) == 1
assert steps("merged, quantized") == [*steps("int8"), "columns 384:768"]

# %% [markdown]
# All float32 forms give the same weights, bit for bit. The others give weights that were rounded when the file was written.
# Graphs in lower precision also round activations. The converter compares the params with the same graph without this
# rounding. The record also contains the comparison with the unchanged graph, which shows the effect of the rounding.

# %%
for name, difference in differences.items():
    comparison = records[name]["proof"]
    assert all(output["cosine"] > 0.9999 for output in comparison["outputs"].values())
    unchanged = comparison["as_stored"].get("last_hidden_state")
    effect = f", cosine with the unchanged graph {unchanged['cosine']:.4f}" if unchanged else ""
    print(f"{name:18}largest weight difference {difference:.0e}{effect}")

assert {differences[name] for name in ("downloaded", "float32", "transposed", "merged", "fused")} == {0}
assert 0 < differences["float16"] == differences["fused, float16"] < 1e-2
assert 0 < differences["int8"] < 1e-1
assert 0 < differences["merged, quantized"] < 1e-1

# %% [markdown]
# onnxruntime computes the same outputs from the written file as the encoder.

# %%
batch = mj.tokenize(["A cat sleeps.", "Stock markets fell after the announcement."])
session = onnxruntime.InferenceSession(files["float32"], providers=["CPUExecutionProvider"])
feeds = {name: np.asarray(array, np.int64) for name, array in batch._asdict().items()}
theirs = session.run(["last_hidden_state"], feeds)[0]
ours = np.asarray(jax.jit(mj.encode)(params, batch).last_hidden_state)

mask = np.asarray(batch.attention_mask, bool)
print("largest difference below 1e-5:", bool(np.abs(theirs - ours)[mask].max() < 1e-5))
assert np.abs(theirs - ours)[mask].max() < 1e-5

# %% [markdown]
# ## Precision
#
# `mj.cast` converts params to a lower precision; `mj.embed` works with all of them. `"bfloat16"` halves the memory of the weights.
# `"int8"` computes dense layers with 8-bit kernels and activations, and needs no calibration data.


# %%
def megabytes(params):
    """Return the size of the params in memory."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params)) / 1e6


encoders = {p: mj.SentenceEncoder.from_pretrained(folder, precision=p) for p in ("float32", "bfloat16", "int8")}
for precision in encoders:
    print(f"{precision:9} {megabytes(mj.cast(params, precision)):4.0f} MB")
assert megabytes(mj.cast(params, "int8")) < megabytes(mj.cast(params, "bfloat16")) < megabytes(params) / 1.9

# %% [markdown]
# ## Quality
#
# How much accuracy does a lower precision lose? Two hundred docstrings from the standard library are embedded in each precision.
# The cosine with the float32 vector shows how far a vector moves. For search, the order matters more: the second measure is how
# many of the ten nearest neighbors of a text stay the same.

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
def neighbors(vectors):
    """Return the ten nearest other texts of each text."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    return np.argsort(-similarity, axis=1)[:, :10]


figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for precision, color in {"bfloat16": "tab:blue", "int8": "tab:orange"}.items():
    cosine = np.sum(vectors[precision] * exact, axis=1)
    pairs = zip(neighbors(vectors[precision]), neighbors(exact), strict=True)
    kept = np.mean([len({*found} & {*wanted}) / 10 for found, wanted in pairs])
    print(f"{precision:9} mean cosine {cosine.mean():.4f}, lowest {cosine.min():.4f}, neighbors kept {kept:.1%}")
    ax.hist(np.log10(np.maximum(1 - cosine, 1e-7)), bins=40, range=(-7, -2), color=color, alpha=0.8, label=precision)
    assert cosine.min() > {"bfloat16": 0.9999, "int8": 0.99}[precision]
    assert kept > {"bfloat16": 0.98, "int8": 0.9}[precision]
ax.set(
    xlabel="1 − cosine with float32 (lower is better)",
    ylabel="texts",
    xticks=range(-7, -1),
    xticklabels=[f"$10^{{{i}}}$" for i in range(-7, -1)],
)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# `docs/quality.md` reports the same measurement for more texts and compares it with the int8 models of other runtimes.
