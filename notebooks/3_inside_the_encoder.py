# %% [markdown]
# # Inside the encoder: layers, attention, gradients and the compiled program
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/3_inside_the_encoder.ipynb)
#
# The encoder is a pure JAX function. This notebook inspects its layers and attention heads, differentiates it, and looks at
# the program that XLA compiles.

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
print(
    f"{config.num_hidden_layers} layers, {config.num_attention_heads} heads, {config.hidden_size} dimensions per token"
)
print(f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

# %% [markdown]
# ## Layers: how context changes a word
#
# The word *bank* is the same token in all four sentences. The embedding layer gives it nearly the same vector each time; only
# its position differs. Each layer mixes in more context, until the two meanings, river bank and financial bank, are
# clearly apart.

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
ax.plot(alike, marker="o", label="same meaning")
ax.plot(unlike, marker="o", label="different meanings")
ax.set(xlabel="layer (0 is the embedding layer)", ylabel="mean cosine of two vectors of “bank”", ylim=(0.5, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

assert alike[0] - unlike[0] < 0.01
assert alike[-1] - unlike[-1] > 0.1

# %% [markdown]
# ## Attention
#
# Each attention layer computes weighted means over all tokens. `encode` does not return the weights; `attention_weights`
# recomputes them for one layer. A row shows how one token distributes its attention over the tokens in the columns, so each
# row sums to 1. The plot shows the mean over the 12 heads.

# %%
sentence = "The cat sleeps on the warm windowsill."
plot.attention_map(encoder, sentence)

weights = attention_weights(params, mj.tokenize(sentence), layer=-1)
print("[B, N, T, T] =", weights.shape)
np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)

# %% [markdown]
# The mean hides that heads specialize. The next figure shows how much attention each of the 72 heads gives to the previous
# token, averaged over the four sentences. One head attends almost only to the previous token.

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
ax.set(xlabel="head", ylabel="layer", xticks=range(12), title="attention to the previous token")
figure.colorbar(image, shrink=0.8)
print(f"layer {layer}, head {head}: {before[layer, head]:.0%} of its attention goes to the previous token")
assert before[layer, head] > 0.5

# %%
ax = plot.attention_map(encoder, sentence, layer=layer, head=head)

# %% [markdown]
# ## Gradients: which words make two texts similar
#
# The cosine similarity of two texts is a differentiable function of their word embeddings. Integrated gradients (Sundararajan
# et al., 2017) attribute it to the words: they integrate the gradient along a path from a text of padding tokens to the real
# text. This needs gradients, which an ONNX runtime session does not provide.

# %%
first, second = "How do I reset my password?", "I forgot my login and cannot sign in."
plot.saliency(encoder, first, second)

contributions = word_contributions(encoder, first, second)
print({word.word: round(word.contribution, 2) for word in contributions})

# %% [markdown]
# To check the attribution, remove one word at a time and measure how much similarity is lost. The two words with the largest
# contributions should also cause the two largest losses.

# %%
kept = [first[: word.start] + first[word.end :] for word in contributions]
lost = encoder.encode(first) @ encoder.encode(second) - encoder.encode(kept) @ encoder.encode(second)
print({word.word: round(float(loss), 2) for word, loss in zip(contributions, lost, strict=True)})
assert {contributions[i].word for i in np.argsort(lost)[-2:]} == {
    word.word for word in sorted(contributions, key=lambda w: w.contribution)[-2:]
}

# %% [markdown]
# Gradients with respect to the params train the model. One step of gradient descent on the distance between two texts brings
# them closer together.

# %%
pair = mj.tokenize(["A dog barks.", "Stock markets fell."])


def distance(params):
    """Return 1 minus the cosine of the pair."""
    a, b = mj.embed(params, pair)
    return 1 - a @ b


start, gradient = jax.jit(jax.value_and_grad(distance))(params)
stepped = jax.tree.map(lambda leaf, slope: leaf - 1e-3 * slope, params, gradient)
print(f"distance before {start:.3f}, after one step {jax.jit(distance)(stepped):.3f}")
assert jax.jit(distance)(stepped) < start

# %% [markdown]
# ## vmap: one gradient per text
#
# `vmap` turns a function of one text into a function of a batch, and it works on gradients too. The loss below is the
# distance of a text from the first sentence; its gradient is taken with respect to the scale of the last LayerNorm, separately
# for each text. The mean of these gradients equals the gradient of the mean loss.

# %%
target = encoder.encode(sentences[0])
scale = params["encoder"]["layer"]["5"]["output"]["LayerNorm"]["scale"]


def with_scale(scale):
    """Return the params with another scale in the last LayerNorm."""
    last = params["encoder"]["layer"]["5"]
    norm = last["output"]["LayerNorm"] | {"scale": scale}
    layers = params["encoder"]["layer"] | {"5": last | {"output": last["output"] | {"LayerNorm": norm}}}
    return params | {"encoder": {"layer": layers}}


def loss(scale, row):
    """Return 1 minus the cosine of one text with the target."""
    one = jax.tree.map(lambda array: array[None], row)
    return 1 - mj.embed(with_scale(scale), one)[0] @ target


rows = jax.tree.map(jnp.asarray, batch)
each = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(scale, rows)
mean = jax.grad(lambda scale: jax.vmap(loss, in_axes=(None, 0))(scale, rows).mean())(scale)

print("gradient norm per text:", np.linalg.norm(each, axis=1).round(3))
np.testing.assert_allclose(each.mean(axis=0), mean, atol=1e-6)
assert np.linalg.norm(each[0]) < 0.1 * np.linalg.norm(each[1:], axis=1).min()

# %% [markdown]
# ## The compiled program
#
# XLA estimates the cost of a program before it compiles it. A dense layer needs 2 floating-point operations (FLOPs) per weight
# and token. The cost of attention grows with the square of the length, but is a small part of the total at these lengths.


# %%
def flops(length):
    """Return XLA's count of FLOPs for one text with `length` tokens."""
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return jax.jit(mj.embed).lower(params, mj.Batch(ids, ids, ids)).cost_analysis()["flops"]


def matmuls(length):
    """Return the FLOPs of the dense layers and of attention, from their shapes."""
    d, f, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    return layers * length * (8 * d * d + 4 * d * f), layers * 4 * length * length * d


print("tokens  GFLOPs by XLA  by shapes  attention")
for length in (16, 32, 64, 120):
    dense, attention = matmuls(length)
    total = dense + attention
    print(f"{length:6} {flops(length) / 1e9:14.2f} {total / 1e9:10.2f} {attention / total:10.1%}")
    assert 1 <= flops(length) / total < 1.1
    assert attention / total < 0.1

# %% [markdown]
# XLA's count is a few percent higher because it includes softmax, GELU and LayerNorm. The compiler fuses these elementwise
# operations with their neighbors, so the compiled program has fewer steps than the traced program has operations.

# %%
lowered = jax.jit(mj.embed).lower(params, mj.tokenize(sentence))
compiled = lowered.compile()
operations = sum(" = " in line for line in lowered.as_text().splitlines())
entry = compiled.as_text().split("ENTRY ")[1].split("\n}")[0]
steps = sum(" = " in line and " parameter(" not in line for line in entry.splitlines())

print("fewer compiled steps than traced operations:", steps < operations)
assert operations > steps
