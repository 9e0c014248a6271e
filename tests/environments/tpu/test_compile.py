"""`embed` compiled for TPUs: it fits the memory, does not communicate, and computes nothing unnecessary."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.export import save_exported
from minilm_jax.nn.params import Params
from minilm_jax.tokens.packed_rows import AnyBatch, PackedBatch
from tests.environments.tpu.chips import CHIPS, Cost, arithmetic

TOPOLOGIES = ("v5e:1x1", "v5e:2x2", "v6e:1x1", "v6e:2x2")
# Tokens per call of `SentenceEncoder` on an accelerator.
TOKENS_PER_CHIP = 131_072
CONFIG = mj.ALL_MINILM_L6_V2

# Precision, tokens per row, and slots for texts in a packed row, or 0 for padded rows. On a TPU, `SentenceEncoder`
# packs rows. float32 has only one case because it takes several times as long to compile.
CASES: list[tuple[Precision, int, int]] = [
    ("bfloat16", 16, 0),
    ("bfloat16", 128, 0),
    ("bfloat16", 512, 0),
    ("bfloat16", 128, 32),
    ("float32", 128, 0),
]


def mesh(topology: str) -> Mesh:
    """Return a mesh of all chips of a topology; a host with one chip must be requested explicitly."""
    one_chip = {"chips_per_host_bounds": [1, 1, 1]} if topology.endswith(":1x1") else {}
    chips = topologies.get_topology_desc(platform="tpu", topology_name=topology, **one_chip)
    return topologies.make_mesh(chips, (len(chips.devices),), ("batch",))


def abstract_batch(rows: int, length: int, slots: int, sharding: NamedSharding) -> AnyBatch:
    """Return a batch of shapes, packed if there are slots."""

    def ids(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.uint16, sharding=sharding)

    if slots:
        return PackedBatch(ids(rows, length), ids(rows, slots))
    return mj.Batch(ids(rows, length), ids(rows, length))


@pytest.mark.parametrize(("precision", "length", "slots"), CASES)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_compiled_embed_fits_in_memory_without_communication_or_unnecessary_work(
    topology: str, precision: Precision, length: int, slots: int, params: Params, table: list[tuple[str, ...]]
) -> None:
    chips, chip, rows = mesh(topology), CHIPS[topology.partition(":")[0]], TOKENS_PER_CHIP // length
    split, whole = (NamedSharding(chips, spec) for spec in (PartitionSpec("batch"), PartitionSpec()))
    on_each = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), mj.cast(params, precision)
    )
    program = jax.jit(mj.embed).lower(on_each, abstract_batch(rows * chips.size, length, slots, split)).compile()
    cost, needed = Cost.of(program), TOKENS_PER_CHIP * arithmetic(CONFIG, length)
    batch = f"{rows:,} × {length}{' packed' if slots else ''}"
    speeds = cost.speeds(TOKENS_PER_CHIP * chips.size, chip, precision)
    table.append((topology, precision, batch, *cost.columns(needed), *speeds))
    assert not communicates(program)
    assert cost.memory < chip.memory
    assert 0.85 < cost.flops / needed < 1.15


def communicates(program: Any) -> bool:
    """Return whether a chip waits for another chip or for the host."""
    kinds = r"all-\w+|all-to-all|collective-\w+|reduce-scatter|send|recv|infeed|outfeed"
    return re.search(rf"\b({kinds})(-start)?\(", program.as_text()) is not None


def test_communicates_detects_a_sum_over_chips() -> None:
    chips = mesh("v5e:2x2")
    split = NamedSharding(chips, PartitionSpec("batch"))
    x = jax.ShapeDtypeStruct((1_024, 128), jnp.float32, sharding=split)
    assert communicates(jax.jit(lambda x: x.sum(axis=0)).lower(x).compile())


def test_exported_program_compiles_without_unnecessary_work(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    # An int8 program also contains code that only runs on a CPU.
    model = mj.SentenceEncoder(mj.cast(encoder.params, "int8"), encoder.config, encoder.tokenizer)
    save_exported(model, tmp_path / "a")
    program = export.deserialize(bytearray((tmp_path / "a").read_bytes()))
    chip = NamedSharding(mesh("v5e:1x1"), PartitionSpec())
    x = jax.ShapeDtypeStruct((1_024, 64), jnp.int32, sharding=chip)
    cost = Cost.of(jax.jit(program.call).lower(x, x).compile())
    assert 0.85 < cost.flops / (x.size * arithmetic(CONFIG, 64)) < 1.15
