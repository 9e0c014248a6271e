# %% [markdown]
# # Quickstart: from an ONNX file to sentence vectors
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/1_quickstart.ipynb)
#
# The sentence encoder all-MiniLM-L6-v2 maps a text to a vector with 384 dimensions. Texts with similar meanings get vectors
# with similar directions. This notebook converts the model from ONNX to Flax params, verifies the conversion, and embeds
# some sentences with functions that XLA compiles.

# %%
# Install the packages that are missing, for example on Colab. An installed jax keeps its version.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

PACKAGES = {
    "minilm_jax": "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax",
    "matplotlib": "matplotlib",
}
missing = [source for module, source in PACKAGES.items() if importlib.util.find_spec(module) is None]
if missing:
    pins = [f"jax=={version('jax')}"] if importlib.util.find_spec("jax") else []
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing, *pins], check=True)

# %% [markdown]
# ## Convert and verify
#
# The ONNX file is downloaded once and cached. The converter finds the weights by the structure of the graph, not by their
# names. Then it runs the graph and the converted encoder on the same inputs, and writes nothing if the outputs differ. The
# same conversion is available on the command line as `python -m convert onnx_to_flax`.

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np

import minilm_jax as mj
from convert.pipeline import convert_to_folder

folder, record = convert_to_folder(out=Path(tempfile.mkdtemp()) / "all-minilm-l6-v2-flax")

for name, comparison in record["proof"]["outputs"].items():
    assert comparison["largest_difference"] < 1e-5
    print(f"{name}: differs from the ONNX graph by less than 1e-5")
print(f"{len(record['weights'])} arrays in {sorted(path.name for path in folder.iterdir())}")

# %% [markdown]
# The record lists the source of every array in the ONNX file. Notebook 4 converts other forms of the file, in which the
# weights are transposed, concatenated or quantized.

# %%
layer = "encoder.layer.0"
for path in (f"{layer}.attention.self.query.kernel", f"{layer}.output.dense.bias", "pooler.dense.kernel"):
    weight = record["weights"][path]
    print(f"{path}: {weight['stored']} tensor {weight['source']}, used by node {weight['node']}")

# %% [markdown]
# ## Embed
#
# `SentenceEncoder` maps texts to numpy arrays. It tokenizes the texts, sorts them by length, pads them to a few fixed
# lengths, and returns the vectors in the original order.

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
# The vectors have unit length, so their dot product is their cosine similarity: 1 for the same meaning, about 0 for
# unrelated texts. The six sentences are three pairs with the same topic but almost no common words. The most similar
# sentence is always the other one of the pair.

# %%
from minilm_jax import plot

similarity = vectors @ vectors.T
plot.similarity_heatmap(similarity, sentences)

others = np.where(np.eye(6, dtype=bool), -1, similarity)
assert others.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]

# %% [markdown]
# ## One pure function
#
# `SentenceEncoder` is built on `mj.embed`, a pure function of params and a batch, so every JAX transformation works with it.
# `params` is a plain dict of arrays, and a `Batch` contains token ids and their attention mask.

# %%
params = mj.load_params(folder)
batch = mj.tokenize(sentences)
embed = jax.jit(mj.embed)

print("input_ids", batch.input_ids.shape, batch.input_ids.dtype)
print("vectors  ", embed(params, batch).shape)
np.testing.assert_allclose(embed(params, batch), vectors, atol=1e-6)

# %% [markdown]
# The vector of a text depends only on that text, not on the other texts in the batch or on the padding.

# %%
alone = embed(params, mj.tokenize(sentences[0]))
padded = embed(params, mj.Batch(*(np.pad(np.asarray(array), ((0, 0), (0, 100))) for array in batch)))

print("batch:        ", batch.input_ids.shape)
print("one sentence: ", mj.tokenize(sentences[0]).input_ids.shape)
print("more padding: ", (len(sentences), batch.input_ids.shape[1] + 100))
np.testing.assert_allclose(alone[0], vectors[0], atol=1e-6)
np.testing.assert_allclose(padded, vectors, atol=1e-6)

# %% [markdown]
# `mj.encode` returns a vector per token, `last_hidden_state`. The sentence embedding is the mean of these vectors over the
# real tokens, scaled to unit length. `mj.encode` also returns BERT's `pooler_output`, which is **not** the sentence embedding.

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
# XLA compiles one program per input shape. `SentenceEncoder` packs texts into rows of few lengths, so a process needs at most
# eight programs, and a list at most four.

# %%
texts = [f"{'word ' * (i % 60)}{i}" for i in range(300)]
before = encoder.stats.compilations
encoder.encode(texts)
lengths = len({len(text.split()) for text in texts})
print(f"{len(texts)} texts with {lengths} different lengths needed at most 4 programs")
assert encoder.stats.compilations - before <= 4

# %% [markdown]
# Next: `2_semantic_search` searches a corpus, `3_inside_the_encoder` inspects attention and gradients, `4_onnx_and_back`
# converts other ONNX files and compares precisions, and `5_many_devices` splits the work over devices.
