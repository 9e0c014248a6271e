# %% [markdown]
# # Inside the encoder: layers, attention, gradients, and what XLA made of it
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/3_inside_the_encoder.ipynb)
#
# The encoder is a pure function, so it can be opened: every layer can be looked at, every number can be differentiated, and
# the compiler can be asked what it did.

# %%
# Installs minilm-jax where it is missing, as on Colab, and leaves the jax that is there as it is.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("minilm_jax") is None:
    source = "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source, f"jax=={version('jax')}"], check=True)

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import minilm_jax as mj
from minilm_jax import plot
from minilm_jax.explain import attention_weights, word_contributions

encoder = mj.SentenceEncoder.from_pretrained()
params, config = encoder.params, encoder.config
print(f"{config.num_hidden_layers} layers, {config.num_attention_heads} heads, {config.hidden_size} numbers a token")
print(f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

# %% [markdown]
# ## Layers: a word takes on its context
#
# The word *bank* is the same token in all of these sentences, and so it starts with the same vector, but for its place in
# the sentence. Layer by layer its neighbours change it, until the bank of a river and the bank with the money differ.

# %%
sentences = [
    "We sat on the grassy bank of the river.",
    "The boat drifted towards the muddy bank.",
    "I opened a savings account at the bank.",
    "The bank refused to give them a loan.",
]
batch = mj.tokenize(sentences)
states = jax.jit(mj.encode, static_argnames="output_hidden_states")(
    params, batch, output_hidden_states=True
).hidden_states

bank = encoder.tokenizer.pieces("bank")[1].id
rows, places = np.nonzero(np.asarray(batch.input_ids) == bank)
words = np.stack([np.asarray(state)[rows, places] for state in states])  # [layer, sentence, D]
words /= np.linalg.norm(words, axis=-1, keepdims=True)
cosines = words @ words.swapaxes(1, 2)

alike = (cosines[:, 0, 1] + cosines[:, 2, 3]) / 2
unlike = cosines[:, :2, 2:].mean(axis=(1, 2))

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(alike, marker="o", label="same sense")
ax.plot(unlike, marker="o", label="river and money")
ax.set(xlabel="layer (0 is the embeddings)", ylabel="cosine of the two banks", ylim=(0.5, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

assert alike[0] - unlike[0] < 0.01
assert alike[-1] - unlike[-1] > 0.1

# %% [markdown]
# ## Attention
#
# In each layer every token takes a weighted mean of the others. `encode` never keeps those weights; `attention_weights`
# computes them anew for one layer. Rows are the tokens that look, columns what they look at; each row sums to 1. Much goes
# to [CLS]: heads that find nothing to do rest there.

# %%
sentence = "The cat sleeps on the warm windowsill."
plot.attention_map(encoder, sentence)

weights = attention_weights(params, mj.tokenize(sentence), layer=-1)
print("[B, N, T, T] =", weights.shape)
np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)

# %% [markdown]
# The mean hides what single heads do. Here is, for each of the 72 heads, how much of its attention goes to the token just
# before, over the sentences from above. One of them does hardly anything else.

# %%
tokens = batch.input_ids.shape[1]
mask = np.asarray(batch.attention_mask)[:, 1:]
before = np.stack(
    [
        (
            np.asarray(attention_weights(params, batch, layer=layer))[:, :, np.arange(1, tokens), np.arange(tokens - 1)]
            * mask[:, None]
        ).sum(axis=(0, 2))
        / mask.sum()
        for layer in range(config.num_hidden_layers)
    ]
)
layer, head = (int(index) for index in np.unravel_index(before.argmax(), before.shape))

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
image = ax.imshow(before, cmap="GnBu", vmin=0, vmax=1)
ax.set(xlabel="head", ylabel="layer", xticks=range(12), title="attention to the token before")
figure.colorbar(image, shrink=0.8)
print(f"layer {layer}, head {head}: {before[layer, head]:.0%} of its attention goes to the token before")
assert before[layer, head] > 0.5

# %%
ax = plot.attention_map(encoder, sentence, layer=layer, head=head)

# %% [markdown]
# ## Gradients: which words made two texts similar
#
# The cosine of two texts is a differentiable function of their word embeddings. Integrated gradients follow it from a text
# of empty words to the real one and credit each word with its share. This needs an encoder with gradients; no frozen ONNX
# session can do it.

# %%
first, second = "How do I reset my password?", "I forgot my login and cannot sign in."
plot.saliency(encoder, first, second)

contributions = word_contributions(encoder, first, second)
print({word.word: round(word.contribution, 2) for word in contributions})

# %% [markdown]
# Is that true? Take the words away one at a time and see how much of the similarity is lost. The word with the largest
# share should cost most.

# %%
kept = [first[: word.start] + first[word.end :] for word in contributions]
lost = encoder.encode(first) @ encoder.encode(second) - encoder.encode(kept) @ encoder.encode(second)
print({word.word: round(float(loss), 2) for word, loss in zip(contributions, lost, strict=True)})
assert {contributions[i].word for i in np.argsort(lost)[-2:]} == {
    word.word for word in sorted(contributions, key=lambda w: w.contribution)[-2:]
}

# %% [markdown]
# The same gradients train. One step downhill on the distance of two texts brings them closer.

# %%
pair = mj.tokenize(["A dog barks.", "Stock markets fell."])


def distance(params):
    """Returns 1 minus the cosine of the pair."""
    a, b = mj.embed(params, pair)
    return 1 - a @ b


start, gradient = jax.jit(jax.value_and_grad(distance))(params)
stepped = jax.tree.map(lambda leaf, slope: leaf - 1e-3 * slope, params, gradient)
print(f"distance before {start:.3f}, after one step {jax.jit(distance)(stepped):.3f}")
assert jax.jit(distance)(stepped) < start

# %% [markdown]
# ## vmap: a gradient for every text
#
# `vmap` turns a function of one text into one of many, gradients included. Here is how strongly each sentence pulls at the
# last LayerNorm if its vector is to move towards the first one. The mean of these gradients is the gradient of the mean.

# %%
target = encoder.encode(sentences[0])
scale = params["encoder"]["layer"]["5"]["output"]["LayerNorm"]["scale"]


def with_scale(scale):
    """Returns the params with another last LayerNorm."""
    last = params["encoder"]["layer"]["5"]
    norm = last["output"]["LayerNorm"] | {"scale": scale}
    layers = params["encoder"]["layer"] | {"5": last | {"output": last["output"] | {"LayerNorm": norm}}}
    return params | {"encoder": {"layer": layers}}


def loss(scale, row):
    """Returns 1 minus the cosine of one text with the target."""
    one = jax.tree.map(lambda array: array[None], row)
    return 1 - mj.embed(with_scale(scale), one)[0] @ target


rows = jax.tree.map(jnp.asarray, batch)
each = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(scale, rows)
mean = jax.grad(lambda scale: jax.vmap(loss, in_axes=(None, 0))(scale, rows).mean())(scale)

print("a gradient for each of", each.shape[0], "texts:", np.linalg.norm(each, axis=1).round(3))
np.testing.assert_allclose(each.mean(axis=0), mean, atol=1e-6)
assert np.linalg.norm(each[0]) < 0.1 * np.linalg.norm(each[1:], axis=1).min()

# %% [markdown]
# ## What XLA made of it
#
# A traced program can be asked what it costs before it is compiled. Dense layers cost 2 operations for each of their
# weights and token. Attention grows with the square of the length, but stays a small part of the work at these sizes.


# %%
def flops(length):
    """Returns what XLA counts for one text of so many tokens."""
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return jax.jit(mj.embed).lower(params, mj.Batch(ids, ids, ids)).cost_analysis()["flops"]


def matmuls(length):
    """Returns the operations of the dense layers and of attention, counted by hand."""
    d, f, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    return layers * length * (8 * d * d + 4 * d * f), layers * 4 * length * length * d


print("tokens  XLA counts  by hand   of which attention")
for length in (16, 32, 64, 120):
    dense, attention = matmuls(length)
    print(
        f"{length:6} {flops(length) / 1e9:8.2f} G {(dense + attention) / 1e9:8.2f} G {attention / (dense + attention):10.1%}"
    )
    assert 1 <= flops(length) / (dense + attention) < 1.1

# %% [markdown]
# XLA's count is a few percent higher: softmax, GELU and LayerNorm cost something too, but hardly anything. Compiling fuses
# those into few passes over memory. What is left are matrix products, and what happens between two of them.

# %%
lowered = jax.jit(mj.embed).lower(params, mj.tokenize(sentence))
compiled = lowered.compile()
operations = sum(" = " in line for line in lowered.as_text().splitlines())
entry = compiled.as_text().split("ENTRY ")[1].split("\n}")[0]
steps = sum(" = " in line and " parameter(" not in line for line in entry.splitlines())

print("more operations were traced than steps are left to run:", operations > steps)
assert operations > steps
