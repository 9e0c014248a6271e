"""Write a tiny random BERT in all forms of ONNX file that tools produce, and verify each against torch.

Run manually, once for each transformers release in `forms.py`, in its own environment (see requirements.txt)::

    python tests/forms/make.py

Each run writes the forms of the installed transformers release and leaves the other files unchanged.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any

import checks
import numpy as np
import onnx
import onnx.external_data_helper
import onnx_ir
import optimizers
import refused
import rewrites
import tiny
import torch
import transformers
from forms import OLD, Form, all_forms
from safetensors.numpy import save

HERE = Path(__file__).parent
INDEX = HERE / "forms.json"
SMALLEST_OUTSIDE = 256


def compressed(data: bytes) -> bytes:
    """Compress bytes deterministically."""
    return gzip.compress(data, compresslevel=9, mtime=0)


def archive(folder: Path) -> bytes:
    """Return a compressed archive of the files of a folder, deterministically."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return compressed(data.getvalue())


def check_no_paths(name: str, data: bytes) -> None:
    """Raise an error if a file contains a path of the machine that made it.

    Args:
        name: Name of the form, for the message.
        data: The uncompressed file.

    Raises:
        ValueError: A path was found.
    """
    found = re.search(rb"/(?:tmp|root|home|work|usr|opt|Users)/[ -~]*|site-packages[ -~]*", data)
    if found:
        raise ValueError(f"{name} contains the path {found.group()!r}")


def store(form: Form, model: onnx.ModelProto, out: Path) -> tuple[str, dict[str, checks.Agreement]]:
    """Write one form and compare it with torch.

    Args:
        form: The form.
        model: Its graph.
        out: The folder to write to.

    Returns:
        The name of the file, and the agreement of each output.
    """
    meanings = form.meanings(model)
    if form.external is None:
        data = model.SerializeToString(deterministic=True)
        check_no_paths(form.name, data)
        name = f"{form.name}.onnx.gz"
        (out / name).write_bytes(compressed(data))
        return name, checks.compare(model, form.model, meanings)
    with tempfile.TemporaryDirectory() as scratch:
        save_outside(model, Path(scratch) / "model.onnx", form.external)
        name, packed = f"{form.name}.tar.gz", archive(Path(scratch))
        check_no_paths(form.name, gzip.decompress(packed))
        (out / name).write_bytes(packed)
        return name, checks.compare(model, form.model, meanings, scratch)


def save_outside(model: onnx.ModelProto, path: Path, external: str) -> None:
    """Write a graph with external data.

    Args:
        model: The graph.
        path: The file; the weights are written to the same folder.
        external: "one" or "each", by onnx, or "own", by the newer exporter of torch.
    """
    copy = rewrites.copied(model)
    if external == "own":
        onnx_ir.save(onnx_ir.serde.deserialize_model(copy), path, external_data="model.onnx.data")
        return
    onnx.external_data_helper.convert_model_to_external_data(
        copy, all_tensors_to_one_file=external == "one", location="model.onnx_data", size_threshold=SMALLEST_OUTSIDE
    )
    for tensor in copy.graph.initializer:
        for entry in tensor.external_data:
            if external == "each" and entry.key == "location" and entry.value != tensor.name:
                entry.value = str(
                    uuid.uuid5(uuid.NAMESPACE_OID, tensor.name)
                )  # The names that onnx chooses are random.
    onnx.save(copy, path)


def describe(form: Form, model: onnx.ModelProto, file: str, found: dict[str, checks.Agreement]) -> dict[str, Any]:
    """Return the entry of a form in forms.json."""
    return {
        "file": file,
        "producer": form.producer,
        "transformers": form.transformers,
        "from": form.source,
        "opset": checks.opset(model),
        "kind": form.kind,
        "special": form.special,
        "weights": weights_file(form.model),
        "inputs": [value.name for value in checks.real_inputs(model)],
        "outputs": form.meanings(model),
        "pooler": form.pooler,
        "expected": {"pooling": form.pooling, "normalize": form.normalize} if form.pooling else None,
        "foreign_ops": checks.foreign_ops(model),
        "largest_difference": {name: float(f"{one.gap:.1e}") for name, one in found.items()},
        "smallest_cosine": {name: round(one.cosine, 4) for name, one in found.items()},
    }


def weights_file(model: str) -> str:
    """Return the file name of the weights of an encoder."""
    return "weights.safetensors" if model == "bert" else f"weights-{model}.safetensors"


def write(form: Form, built: dict[str, onnx.ModelProto], out: Path) -> dict[str, Any]:
    """Make, store and check one form.

    Args:
        form: The form to make.
        built: The graphs made so far, by name; this one is added.
        out: The folder to write to.

    Returns:
        Its entry in forms.json.

    Raises:
        ValueError: Its outputs differ from those of torch.
    """
    # A copy, since some tools modify their input.
    model = checks.cleaned(form.build(rewrites.copied(built[form.source])) if form.source else form.build())
    built[form.name] = model
    file, found = store(form, model, out)
    line = " ".join(f"{name} {one.gap:.1e} {one.cosine:.4f}" for name, one in found.items())
    foreign = " ".join(f"{name.split('.')[-1]}×{count}" for name, count in checks.foreign_ops(model).items())
    sys.stdout.write(
        f"{file}: {(out / file).stat().st_size:,} bytes, {len(model.graph.node)} nodes, {line} {foreign}\n"
    )
    allowed = checks.tolerance(form.kind, model)
    if allowed is not None and not max(one.gap for one in found.values()) <= allowed:
        raise ValueError(f"{form.name} differs from torch: {line}")
    return describe(form, model, file, found)


def write_other(other: refused.OtherModel, out: Path) -> dict[str, Any]:
    """Make, store and check one graph of a model that is not BERT.

    Args:
        other: The model.
        out: The folder to write to.

    Returns:
        Its entry in refused.json.

    Raises:
        ValueError: Its output differs from that of torch, or, for a rewritten graph, does not differ.
    """
    model, expected = refused.run(other)
    data = checks.cleaned(model).SerializeToString(deterministic=True)
    path = out / "refused" / f"{other.name}.onnx.gz"
    check_no_paths(other.name, data)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(compressed(data))
    names = [value.name for value in checks.real_inputs(model)]
    got = np.asarray(checks.open_session(model).run(None, refused.feed(tuple(names)))[0])
    gap = float(np.abs(got - expected).max())
    sys.stdout.write(f"refused/{path.name}: {path.stat().st_size:,} bytes, {len(model.graph.node)} nodes, {gap:.1e}\n")
    if (gap > checks.TOLERANCES["float32"]) != (other.rewrite is not None):
        raise ValueError(f"{other.name} differs from torch by {gap}")
    return {"file": f"refused/{path.name}", "special": other.special, "inputs": names}


def wanted(names: list[str] | None) -> list[Form]:
    """Return the forms to make with this transformers release: the given ones with their sources, or all."""
    forms = [form for form in all_forms() if form.transformers == transformers.__version__]
    if not names:
        return forms
    needed = set(names)
    for form in reversed(forms):
        if form.name in needed and form.source:
            needed.add(form.source)
    return [form for form in forms if form.name in needed]


def main() -> None:
    """Write the forms that belong to the installed transformers release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of forms")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    optimizers.silence()
    index = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    built: dict[str, onnx.ModelProto] = {}
    for form in wanted(options.only):
        index[form.name] = write(form, built, options.out)
    known = {form.name: form for form in all_forms()}
    kept = {name: index[name] for name in known if name in index}
    write_json(options.out / INDEX.name, kept)
    for model in sorted({form.model for form in known.values()}):
        (options.out / weights_file(model)).write_bytes(save(tiny.weights(model)))
    if not options.only and transformers.__version__ == OLD:
        others = {other.name: write_other(other, options.out) for other in refused.other_models()}
        write_json(options.out / "refused.json", others)


def write_json(path: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Write entries as JSON, one per line."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in entries.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
