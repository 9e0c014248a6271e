"""Compute the golden values from the real weights with torch and onnxruntime.

Run manually; needs torch, transformers, onnx and onnxruntime (README.md lists the versions)::

    python tests/golden/make.py FOLDER_WITH_MODEL_SAFETENSORS_TOKENIZER_AND_CONFIG

Each text is run alone, so that no value depends on padding.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from sampling import sample_positions

HERE = Path(__file__).parent
MAX_TOKENS = 256
FULL_TEXTS = 3
KNOWN_IDS = (101, 7592, 2088, 102)

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Token ids [T] -> hidden states [layers + 1, T, D] and pooler output [D]."""


@dataclass(frozen=True)
class Values:
    """The outputs of one implementation.

    Attributes:
        hidden: One array [layers + 1, T, D] per text.
        pooler: Pooler outputs [n, D].
    """

    hidden: list[np.ndarray]
    pooler: np.ndarray


class WithHiddenStates(torch.nn.Module):
    """An encoder that returns all hidden states and the pooler output as a flat tuple."""

    def __init__(self, bert: torch.nn.Module) -> None:
        """Wrap an encoder."""
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the embeddings output, each layer's output and the pooler output."""
        output = self.bert(input_ids, attention_mask=attention_mask, output_hidden_states=True, return_dict=True)
        return (*output.hidden_states, output.pooler_output)


def tokenize(folder: Path, texts: list[str]) -> list[np.ndarray]:
    """Tokenize texts with transformers, truncated at 256 tokens, without padding.

    Args:
        folder: A folder with the tokenizer files.
        texts: The texts.

    Returns:
        One int32 array of ids per text.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(texts, truncation=True, max_length=MAX_TOKENS, padding=False)
    return [np.asarray(ids, np.int32) for ids in encoded["input_ids"]]


def torch_run(model: torch.nn.Module) -> Run:
    """Return a function that runs the encoder in torch.

    Args:
        model: The wrapped encoder; its dtype is kept.

    Returns:
        The function.
    """

    def run(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = torch.from_numpy(ids.astype(np.int64))[None]
        with torch.no_grad():
            *hidden, pooler = model(batch, torch.ones_like(batch))
        return torch.cat(hidden).numpy(), pooler[0].numpy()

    return run


def onnxruntime_run(model: torch.nn.Module) -> Run:
    """Export the encoder with the tracing exporter and return a function that runs it in onnxruntime.

    Args:
        model: The wrapped encoder in float32.

    Returns:
        The function.
    """
    sample, names = torch.tensor([list(KNOWN_IDS)]), ["input_ids", "attention_mask"]
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in names}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        both = (sample, torch.ones_like(sample))
        torch.onnx.export(model, both, path, input_names=names, dynamic_axes=axes, opset_version=14, dynamo=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = ids.astype(np.int64)[None]
        results = session.run(None, {"input_ids": batch, "attention_mask": np.ones_like(batch)})
        *hidden, pooler = [np.asarray(result) for result in results]
        return np.concatenate(hidden), pooler[0]

    return run


def compute(run: Run, ids: Iterable[np.ndarray]) -> Values:
    """Return the outputs of an implementation for all texts.

    Args:
        run: The implementation.
        ids: Token ids of each text.

    Returns:
        The outputs.
    """
    results = [run(one) for one in ids]
    return Values([hidden for hidden, _ in results], np.stack([pooler for _, pooler in results]))


def sentence_embeddings(values: Values) -> np.ndarray:
    """Return the mean of the last hidden state over the tokens, scaled to unit length, as computed by torch.

    Args:
        values: Values of all texts.

    Returns:
        [n, D] in the dtype of the values.
    """
    means = torch.stack([torch.from_numpy(hidden[-1]).mean(0) for hidden in values.hidden])
    return torch.nn.functional.normalize(means, p=2.0, dim=1).numpy()


def sampled(values: Values, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Return the values at the stored positions, and all values of the first few texts.

    Args:
        values: Values of all texts.
        positions: Token and dimension [n, K, 2].

    Returns:
        The arrays to store, float32.
    """
    pairs = zip(values.hidden, positions, strict=True)
    arrays = {
        "hidden_samples": np.stack([hidden[:, at[:, 0], at[:, 1]] for hidden, at in pairs]),
        "pooler_samples": np.take_along_axis(values.pooler, positions[..., 1].astype(np.int64), axis=1),
    }
    for index in range(FULL_TEXTS):
        arrays |= {f"hidden_{index}": values.hidden[index], f"pooler_{index}": values.pooler[index]}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def differences(one: Values, other: Values) -> np.ndarray:
    """Return the differences between two implementations over all values.

    Args:
        one: Values of the first implementation.
        other: Values of the second implementation.

    Returns:
        Float [layers + 3]: largest absolute difference of each hidden state, pooler output, sentence embedding.
    """
    pairs = zip(one.hidden, other.hidden, strict=True)
    layers = np.max([np.abs(a - b).max(axis=(1, 2)) for a, b in pairs], axis=0)
    pooler = np.abs(one.pooler - other.pooler).max()
    return np.array([*layers, pooler, np.abs(sentence_embeddings(one) - sentence_embeddings(other)).max()])


def report(title: str, row: np.ndarray) -> None:
    """Print a row of numbers.

    Args:
        title: The title of the row.
        row: The numbers.
    """
    sys.stdout.write(f"{title:32}" + " ".join(f"{value:9.2e}" for value in row) + "\n")


def report_known(run: Run) -> None:
    """Print the values for "Hello world", to compare with published ones.

    Args:
        run: The implementation.
    """
    hidden, pooler = run(np.array(KNOWN_IDS))
    for title, row in (("pooler_output", pooler), ("mean", hidden[-1].mean(0))):
        sys.stdout.write(f"{title} of {KNOWN_IDS}: {np.round(row[:10], 6)} norm {np.linalg.norm(row):.6f}\n")


def main() -> None:
    """Write inputs.npz, torch.npz, onnxruntime.npz and float64.npz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Hugging Face folder")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    ids = tokenize(folder, json.loads((HERE / "texts.json").read_text("utf-8")))
    lengths = np.array([one.size for one in ids], np.int32)
    bert = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", use_cache=False)
    positions = sample_positions(lengths, bert.config.hidden_size)
    # The wrapper must be in evaluation mode too: the exporter sets the mode of all submodules to that of the wrapper.
    write(WithHiddenStates(bert.float()).eval(), ids, lengths, positions)


def write(model: torch.nn.Module, ids: list[np.ndarray], lengths: np.ndarray, positions: np.ndarray) -> None:
    """Compute and store all values, and print the differences between the implementations.

    Args:
        model: The wrapped encoder in float32; converted to float64 in place.
        ids: Token ids of each text.
        lengths: Their lengths [n].
        positions: The positions to store [n, K, 2].
    """
    report_known(torch_run(model))
    single = compute(torch_run(model), ids)
    ort = compute(onnxruntime_run(model), ids)
    double = compute(torch_run(model.double()), ids)
    rows = {"torch - onnxruntime": (single, ort), "torch - float64": (single, double), "ort - float64": (ort, double)}
    found = {title: differences(*pair) for title, pair in rows.items()}
    for title, row in found.items():
        report(title, row)
    versions = json.dumps({module.__name__: module.__version__ for module in (torch, transformers, onnxruntime, np)})
    store("inputs", ids=np.concatenate(ids), lengths=lengths, positions=positions, versions=np.array(versions))
    store("torch", embeddings=sentence_embeddings(single), error=found["torch - float64"], **sampled(single, positions))
    store("onnxruntime", error=found["ort - float64"], **sampled(ort, positions))
    store("float64", **{k: v for k, v in sampled(double, positions).items() if k.endswith("samples")})


def store(name: str, **arrays: np.ndarray) -> None:
    """Write one file of this folder.

    Args:
        name: File name without its extension.
        **arrays: The arrays to store.
    """
    path = HERE / f"{name}.npz"
    np.savez_compressed(path, allow_pickle=False, **arrays)
    sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes, {list(arrays)}\n")


if __name__ == "__main__":
    main()
