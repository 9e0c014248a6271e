# %% [markdown]
# # Many devices: mesh, sharding, throughput
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/5_many_devices.ipynb)
#
# The encoder says nothing about devices. Where the arrays lie decides where it runs, and XLA puts in what communication that
# needs. On a machine with one CPU, eight devices are simulated: enough to see everything but the speed.

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
import time

import jax
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

jax.config.update("jax_num_cpu_devices", 8)  # Before jax is used; accelerators are not affected.

import minilm_jax as mj

devices = np.array(jax.devices())
count = 1 << (len(devices).bit_length() - 1)  # A power of two, so that batches can be split evenly.
devices = devices[:count]
print(f"{count} devices of kind {devices[0].platform}")

# %% [markdown]
# ## Split the batch
#
# A mesh names the axes of the devices. The params go to every device, the rows of the batch are split. The function is the
# one from the other notebooks; only its arguments lie elsewhere.

# %%
texts = [f"Sentence number {i} is about {topic}." for i in range(16) for topic in ("cats", "music", "money", "weather")]
params, batch = mj.load_params(), mj.tokenize(texts)
embed = jax.jit(mj.embed)
expected = np.asarray(embed(params, batch))

mesh = Mesh(devices, ("data",))
everywhere = NamedSharding(mesh, PartitionSpec())
by_row = NamedSharding(mesh, PartitionSpec("data"))
copied, split = jax.device_put(params, everywhere), jax.device_put(batch, by_row)
vectors = embed(copied, split)

for shard in vectors.addressable_shards:
    rows = shard.index[0]
    print(f"device {shard.device.id}: rows {rows.start or 0} to {(rows.stop or len(texts)) - 1}")
np.testing.assert_allclose(vectors, expected, atol=1e-6)
assert vectors.sharding.is_equivalent_to(by_row, vectors.ndim)

# %% [markdown]
# A text's vector depends on nothing but the text. So the devices have nothing to tell each other: the compiled program
# contains no communication at all, and each device does its part of the work.

# %%
COMMUNICATION = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def communication(function, *arguments):
    """Returns how often the compiled program communicates, and what a device computes, in operations."""
    compiled = function.lower(*arguments).compile()
    program = compiled.as_text()
    found = {kind: program.count(f" {kind}(") + program.count(f" {kind}-start(") for kind in COMMUNICATION}
    return {kind: times for kind, times in found.items() if times}, compiled.cost_analysis()["flops"]


found, each = communication(embed, copied, split)
_, alone = communication(embed, params, batch)
print("communication:", found or "none")
print(f"a device does {each / alone:.1%} of the work")
assert not found
assert abs(each / alone * count - 1) < 0.1

# %% [markdown]
# ## Split the model
#
# All-MiniLM-L6-v2 fits every device, and splitting the batch is all it needs. Larger models are split too. In the
# feed-forward network the first kernel is cut by columns and the second by rows, so that one sum per layer joins the halves
# (Shoeybi et al., 2019). Params are a plain tree, so a rule for their paths is all that says so.

# %%
from jax.tree_util import keystr, tree_map_with_path

halves = 2 if count > 1 else 1
grid = Mesh(devices.reshape(-1, halves), ("data", "model"))


def placement(path, leaf):
    """Returns how a leaf is laid out over the grid."""
    name = keystr(path, simple=True, separator=".")
    if name.endswith("intermediate.dense.kernel"):
        return NamedSharding(grid, PartitionSpec(None, "model"))
    if name.endswith("output.dense.kernel") and "attention" not in name:
        return NamedSharding(grid, PartitionSpec("model", None))
    return NamedSharding(grid, PartitionSpec())


cut = jax.device_put(params, tree_map_with_path(placement, params))
rows = jax.device_put(batch, NamedSharding(grid, PartitionSpec("data")))
np.testing.assert_allclose(embed(cut, rows), expected, atol=1e-6)

kernel = cut["encoder"]["layer"]["0"]["intermediate"]["dense"]["kernel"]
found, _ = communication(embed, cut, rows)
print("the kernel", kernel.shape, "lies on each device as", kernel.addressable_shards[0].data.shape)
print("communication:", found or "none")
if count > 1:
    assert found["all-reduce"] >= 6  # One for each layer.

# %% [markdown]
# ## Throughput
#
# Real devices add up. Simulated ones share one processor, so that here the line is flat, or falls; what it shows is how to
# measure: more devices, as many more rows, one program, and a wait for the result before the clock is stopped.


# %%
def texts_per_second(number):
    """Returns the throughput of so many devices, each with 32 texts of 32 tokens."""
    mesh = Mesh(devices[:number], ("data",))
    ids = np.random.default_rng(0).integers(1_000, 20_000, (32 * number, 32)).astype(np.int32)
    own = jax.device_put(mj.Batch(ids, np.ones_like(ids)), NamedSharding(mesh, PartitionSpec("data")))
    copied = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    jax.block_until_ready(embed(copied, own))  # Compiles.
    start = time.perf_counter()
    for _ in range(4):
        last = embed(copied, own)
    jax.block_until_ready(last)
    return 4 * len(ids) / (time.perf_counter() - start)


numbers = [2**i for i in range(count.bit_length())]
speeds = [texts_per_second(number) for number in numbers]
assert min(speeds) > 0

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(numbers, np.array(speeds) / speeds[0], marker="o", label="measured")
ax.plot(numbers, numbers, color="0.7", linestyle="--", label="perfect, on real devices")
ax.set(xlabel="devices", ylabel="throughput over one device", xticks=numbers, ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# ## More than one machine
#
# Because texts are independent, nothing has to join the machines either: each embeds its own part of the corpus in a process
# of its own. Within one process `SentenceEncoder` takes care of lengths, batches and order; `embed_batches` gives it token
# ids that you have laid out yourself.

# %%
encoder = mj.SentenceEncoder.from_pretrained()
parts = [mj.Batch(*(np.asarray(array)[i::4] for array in batch)) for i in range(4)]
joined = np.empty_like(expected)
for i, part in enumerate(encoder.embed_batches(parts)):
    joined[i::4] = part
print(joined.shape, "from", len(parts), "batches")
np.testing.assert_allclose(joined, expected, atol=1e-6)
