# %% [markdown]
# # Many devices: mesh, sharding, work per device
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/5_many_devices.ipynb)
#
# The encoder contains no code about devices. The sharding of its arguments decides where it runs, and XLA inserts the
# communication that this requires. Without accelerators, this notebook simulates eight devices on the CPU. They show
# everything except the speed-up, because they share the cores of one processor.

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
import time

import jax
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

jax.config.update("jax_num_cpu_devices", 8)  # Only before the first use of jax; accelerators are not affected.

import minilm_jax as mj

devices = np.array(jax.devices())
count = 1 << (len(devices).bit_length() - 1)  # A power of two, so that batches split evenly.
devices = devices[:count]
print(f"{count} devices on platform {devices[0].platform}")

# %% [markdown]
# ## Split the batch
#
# A mesh arranges devices and names its axes. The params are copied to every device, and the rows of the batch are split. The
# function is `mj.embed`, as in the other notebooks; only the sharding of its arguments is different.

# %%
topics = ("cats", "music", "money", "weather")
texts = [f"Sentence number {i} is about {topic}." for i in range(16) for topic in topics]
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
# The vector of a text depends only on that text, so the devices need no data from each other. The compiled program contains
# no communication, and each device does an equal part of the work.

# %%
COMMUNICATION = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def communication(function, *arguments):
    """Return the collective operations in the compiled program, and the FLOPs per device."""
    compiled = function.lower(*arguments).compile()
    program = compiled.as_text()
    found = {kind: program.count(f" {kind}(") + program.count(f" {kind}-start(") for kind in COMMUNICATION}
    return {kind: times for kind, times in found.items() if times}, compiled.cost_analysis()["flops"]


found, each = communication(embed, copied, split)
_, alone = communication(embed, params, batch)
print("communication:", found or "none")
print(f"work per device: {each / alone:.1%} of the total")
assert not found
assert abs(each / alone * count - 1) < 0.1

# %% [markdown]
# ## Split the model
#
# All-MiniLM-L6-v2 fits on every device, so splitting the batch is enough. Larger models are split as well. In each feed-forward
# network, the first kernel is split by columns and the second by rows, so that one sum per layer combines the parts (Shoeybi
# et al., 2019). Params are a plain tree, so a function from path to sharding describes the split.

# %%
from jax.tree_util import keystr, tree_map_with_path

halves = 2 if count > 1 else 1
grid = Mesh(devices.reshape(-1, halves), ("data", "model"))


def sharding(path, leaf):
    """Return the sharding of a leaf over the grid."""
    name = keystr(path, simple=True, separator=".")
    if name.endswith("intermediate.dense.kernel"):
        return NamedSharding(grid, PartitionSpec(None, "model"))
    if name.endswith("output.dense.kernel") and "attention" not in name:
        return NamedSharding(grid, PartitionSpec("model", None))
    return NamedSharding(grid, PartitionSpec())


sharded = jax.device_put(params, tree_map_with_path(sharding, params))
rows = jax.device_put(batch, NamedSharding(grid, PartitionSpec("data")))
np.testing.assert_allclose(embed(sharded, rows), expected, atol=1e-6)

kernel = sharded["encoder"]["layer"]["0"]["intermediate"]["dense"]["kernel"]
found, _ = communication(embed, sharded, rows)
print("kernel:", kernel.shape, "in total,", kernel.addressable_shards[0].data.shape, "per device")
print("communication:", found or "none")
if count > 1:
    assert found["all-reduce"] >= 6  # One per layer.

# %% [markdown]
# ## Work per device
#
# The next figure splits one batch of 256 texts over more and more devices. XLA reports the FLOPs that each device executes:
# with twice as many devices, each device does half the work.


# %%
def split_batch(number, rows):
    """Return params and a batch of texts with 32 tokens, split over a number of devices."""
    mesh = Mesh(devices[:number], ("data",))
    ids = np.random.default_rng(0).integers(1_000, 20_000, (rows, 32)).astype(np.int32)
    batch = jax.device_put(mj.Batch(ids, np.ones_like(ids)), NamedSharding(mesh, PartitionSpec("data")))
    return jax.device_put(params, NamedSharding(mesh, PartitionSpec())), batch


numbers = [2**i for i in range(count.bit_length())]
work = np.array([communication(embed, *split_batch(number, 256))[1] for number in numbers])

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(numbers, work / 1e9, marker="o", label="counted by XLA")
ax.plot(numbers, work[0] / 1e9 / np.array(numbers), color="0.7", linestyle="--", label="perfect split")
ax.set(xlabel="devices", ylabel="GFLOPs per device (lower is better)", xticks=numbers, ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

np.testing.assert_allclose(work * numbers, work[0], rtol=0.02)

# %% [markdown]
# ## Throughput
#
# To measure throughput, give every device the same number of rows, compile before starting the clock, and wait for the
# result before stopping it.
#
# On real devices, throughput grows with their number. **On simulated devices it cannot grow**: all of them share the same CPU
# cores, and one device already keeps these busy. More simulated devices only add overhead, so expect the second number below
# to be lower than the first.


# %%
def texts_per_second(number):
    """Return the throughput with 32 texts per device."""
    copied, batch = split_batch(number, 32 * number)
    jax.block_until_ready(embed(copied, batch))  # Compiles.
    start = time.perf_counter()
    for _ in range(4):
        last = embed(copied, batch)
    jax.block_until_ready(last)
    return 4 * 32 * number / (time.perf_counter() - start)


for number in (1, count):
    print(f"{number} {devices[0].platform} device(s): {texts_per_second(number):.0f} texts/s")

# %% [markdown]
# ## More than one machine
#
# Because texts are independent, machines need no communication either: each machine embeds its part of the corpus in a separate
# process. Within one process, `SentenceEncoder` handles lengths, batches and order. `embed_batches` takes batches of token ids
# that you have prepared yourself, and returns their vectors in the same order.

# %%
encoder = mj.SentenceEncoder.from_pretrained()
parts = [mj.Batch(*(np.asarray(array)[i::4] for array in batch)) for i in range(4)]
joined = np.empty_like(expected)
for i, part in enumerate(encoder.embed_batches(parts)):
    joined[i::4] = part
print(joined.shape, "from", len(parts), "batches")
np.testing.assert_allclose(joined, expected, atol=1e-6)
