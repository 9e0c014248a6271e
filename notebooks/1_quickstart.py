# %% [markdown]
# # Quickstart: from an ONNX file to sentence vectors
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/1_quickstart.ipynb)
#
# The sentence encoder all-MiniLM-L6-v2 turns a text into 384 numbers. Texts that mean nearly the same get vectors that
# point nearly the same way. Here the model is converted from ONNX to Flax params, proved, used, and compiled by XLA.

# %%
# Installs minilm-jax where it is missing, as on Colab, and leaves the jax that is there as it is.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("minilm_jax") is None:
    source = "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source, f"jax=={version('jax')}"], check=True)

# %% [markdown]
# ## Convert, and prove
#
# The ONNX file is obtained once and kept. Its weights are found by the structure of the graph, never by name. Then the
# graph and the converted encoder run on the same inputs, and nothing is written if they differ. On the command line this
# is `python -m convert onnx_to_flax`.

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np

import minilm_jax as mj
from convert.pipeline import convert_to_folder

folder, record = convert_to_folder(out=Path(tempfile.mkdtemp()) / "all-minilm-l6-v2-flax")

for name, proof in record["proof"]["outputs"].items():
    print(f"{name}: largest difference from the ONNX graph below 1e-5")
    assert proof["largest_difference"] < 1e-5
print(f"{len(record['weights'])} arrays in {sorted(path.name for path in folder.iterdir())}")

# %% [markdown]
# The record says of every array where it came from, and what was undone on the way. Kernels lie transposed in some
# graphs, for example.

# %%
layer = "encoder.layer.0"
for path in (f"{layer}.attention.self.query.kernel", f"{layer}.output.dense.bias", "pooler.dense.kernel"):
    weight = record["weights"][path]
    print(f"{path}: {weight['stored']} from {weight['source']}, undone: {', '.join(weight['undone']) or 'nothing'}")

# %% [markdown]
# ## Embed
#
# `SentenceEncoder` takes texts and gives numpy arrays. It tokenizes, sorts by length, pads, compiles and puts the results
# back in order.

# %%
encoder = mj.SentenceEncoder.from_pretrained(folder)
sentences = [
    "A man is playing a guitar on stage.",
    "Someone performs music for an audience.",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "Interest rates were raised by the central bank.",
    "Borrowing money has become more expensive.",
]
vectors = encoder.encode(sentences)

print(vectors.shape, vectors.dtype)
np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

# %% [markdown]
# The vectors have unit length, so their dot product is the cosine: 1 for the same meaning, about 0 for unrelated ones. The
# sentences come in pairs that hardly share a word. Each finds its partner.

# %%
from minilm_jax import plot

similarity = vectors @ vectors.T
plot.similarity_heatmap(similarity, sentences)

others = np.where(np.eye(6, dtype=bool), -1, similarity)
assert others.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]

# %% [markdown]
# ## One pure function
#
# Below the encoder lies a function of params and a batch. It has no state, so every transformation of JAX applies to it.
# `params` is a plain dict of arrays, and a batch holds token ids with their mask.

# %%
params = mj.load_params(folder)
batch = mj.tokenize(sentences)
embed = jax.jit(mj.embed)

print("input_ids", batch.input_ids.shape, batch.input_ids.dtype)
print("vectors  ", embed(params, batch).shape)
np.testing.assert_allclose(embed(params, batch), vectors, atol=1e-6)

# %% [markdown]
# A text's vector depends on that text alone: not on the others in the batch, nor on the padding.

# %%
alone = embed(params, mj.tokenize(sentences[0]))
padded = embed(params, mj.Batch(*(np.pad(np.asarray(array), ((0, 0), (0, 100))) for array in batch)))

print(
    f"batch of {batch.input_ids.shape}, alone {mj.tokenize(sentences[0]).input_ids.shape}, padded to {batch.input_ids.shape[1] + 100}"
)
np.testing.assert_allclose(alone[0], vectors[0], atol=1e-6)
np.testing.assert_allclose(padded, vectors, atol=1e-6)

# %% [markdown]
# `encode` gives a vector for every token. The sentence vector is their mean over the real tokens, scaled to unit length.
# BERT's `pooler_output` is there too, but it is **not** the sentence embedding.

# %%
output = jax.jit(mj.encode)(params, batch)
mask = np.asarray(batch.attention_mask)[:, :, None]
mean = (np.asarray(output.last_hidden_state) * mask).sum(axis=1) / mask.sum(axis=1)
by_hand = mean / np.linalg.norm(mean, axis=1, keepdims=True)

print("last_hidden_state", output.last_hidden_state.shape)
print("pooler_output    ", output.pooler_output.shape)
np.testing.assert_allclose(by_hand, vectors, atol=1e-6)
assert (
    np.abs(np.sum(np.asarray(output.pooler_output) * vectors, axis=1)).max()
    < 0.99 * np.linalg.norm(output.pooler_output, axis=1).min()
)

# %% [markdown]
# ## Few compilations
#
# XLA compiles a program for each shape. The encoder pads to a small set of lengths, so that many texts need few programs.

# %%
texts = [f"{'word ' * (i % 60)}{i}" for i in range(300)]
before = encoder.stats.compilations
encoder.encode(texts)
print(f"{len(texts)} texts of {len({len(text.split()) for text in texts})} lengths needed fewer than 20 programs")
assert encoder.stats.compilations - before < 20

# %% [markdown]
# Next: `2_semantic_search` finds things, `3_inside_the_encoder` opens the model, `4_onnx_and_back` is about forms and
# precisions, `5_many_devices` about many chips.
