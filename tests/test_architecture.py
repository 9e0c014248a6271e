"""What the folders promise: imports run one way, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each module may import those on its right and nothing else of the project.
ALLOWED = {
    "minilm_jax.errors": set(),
    "minilm_jax.config": {"errors"},
    "minilm_jax.attention": {"config", "precision"},
    "minilm_jax.pooling": {"config"},
    "minilm_jax.batching": set(),
    "minilm_jax.packing": {"batching"},
    "minilm_jax.params": {"config", "errors"},
    "minilm_jax.hub_layout": {"params"},
    "minilm_jax.integer_dot": set(),
    "minilm_jax.processor": set(),
    "minilm_jax.packed_dot": {"processor"},
    "minilm_jax.precision": {"integer_dot", "packed_dot"},
    "minilm_jax.cpu_layout": {"packed_dot", "params", "precision", "processor"},
    "minilm_jax.program_store": {"config", "packing", "params", "processor", "whole_files"},
    "minilm_jax.placement": {"batching", "errors"},
    "minilm_jax.programs": {
        "batching",
        "config",
        "cpu_layout",
        "embedding",
        "faster",
        "packed_dot",
        "packing",
        "params",
        "placement",
        "program_store",
    },
    "minilm_jax.casting": {"batching", "config", "encoder", "errors", "params", "precision"},
    "minilm_jax.encoder_inputs": {"batching", "config", "errors", "packing"},
    "minilm_jax.encoder": {"attention", "config", "encoder_inputs", "packing", "precision"},
    "minilm_jax.embedding": {"config", "encoder", "encoder_inputs", "packing", "pooling"},
    "minilm_jax.faster": {"packing"},
    "minilm_jax.progress": set(),
    "minilm_jax.model_sources": {"errors", "progress"},
    "minilm_jax.model_files": {"errors", "model_sources"},
    "minilm_jax.tokenization": {"batching", "errors", "model_files"},
    "minilm_jax.compilation_cache": {"model_files"},
    "minilm_jax.quantization": {"errors"},
    "minilm_jax.outputs": {"batching", "errors", "quantization"},
    "minilm_jax.compatibility": {"errors"},
    "minilm_jax.engine": {"batching", "config", "encoder", "packing", "params", "placement", "programs", "streams"},
    "minilm_jax.search.similarity": {"errors", "pooling"},
    "minilm_jax.search.chunks": {"errors"},
    "minilm_jax.search.exact": {"errors", "search.chunks", "search.similarity"},
}


def imports(path: Path, *, also_inside_functions: bool) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if also_inside_functions else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "minilm_jax":
            found.update(f"minilm_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("module", ALLOWED)
def test_the_core_imports_one_way(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    own = {name for name in imports(path, also_inside_functions=True) if name.startswith(("minilm_jax", "convert"))}
    assert own <= {f"minilm_jax.{name}" for name in ALLOWED[module]}


@pytest.mark.parametrize("path", sorted((ROOT / "minilm_jax").rglob("*.py")), ids=lambda path: path.name)
def test_the_library_does_not_import_the_converter_at_import_time(path: Path) -> None:
    top = {name.partition(".")[0] for name in imports(path, also_inside_functions=False)}
    assert not top & {"convert", "onnx"}


def test_nothing_imports_the_adapters_and_they_import_not_each_other() -> None:
    adapters, scale = ROOT / "minilm_jax" / "integrations", ROOT / "minilm_jax" / "scale"
    shared = {adapters / "__init__.py", adapters / "encoders.py"}
    engines = {scale / f"{name}.py" for name in ("ray", "beam", "spark")}
    leaves = ("minilm_jax.integrations", *(f"minilm_jax.scale.{path.stem}" for path in engines))
    for path in [*(ROOT / "minilm_jax").rglob("*.py"), *(ROOT / "convert").rglob("*.py")]:
        used = {name for name in imports(path, also_inside_functions=True) if name.startswith(leaves)}
        is_adapter = path in engines or (path.is_relative_to(adapters) and path not in shared)
        allowed = {"minilm_jax.integrations.encoders"} if is_adapter else set()
        # `--engine ray` imports it when it is asked for.
        assert used <= (allowed if path != scale / "run.py" else {"minilm_jax.scale.ray"}), path


def test_of_the_rest_only_its_command_imports_the_corpus_runner() -> None:
    for path in (ROOT / "minilm_jax").rglob("*.py"):
        if path.parent.name != "scale" and path.name != "embed_corpus.py":
            used = imports(path, also_inside_functions=True)
            assert not [name for name in used if name.startswith("minilm_jax.scale")], path


@pytest.mark.parametrize("path", sorted((ROOT / "convert").glob("*.py")), ids=lambda path: path.name)
def test_the_converter_uses_no_part_of_onnx_that_trusts_a_file(path: Path) -> None:
    text = path.read_text("utf-8")
    trusting = {
        "onnx.hub",
        "version_converter",
        "shape_inference",
        "load_external_data",
        "pickle.load",
        "allow_pickle=True",
    }
    assert not {name for name in trusting if name in text}
    # Only the process of its own evaluates a graph, and only one that was vouched for: see `choose_runtime`.
    assert "ReferenceEvaluator" not in text or path.name == "graph_runner.py"


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "jax flax onnx numpy tokenizers huggingface_hub click".split()
    code = f"import sys, minilm_jax; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_public_name_is_there() -> None:
    import minilm_jax as mj
    from minilm_jax import embedding, sentence_encoder  # so that a submodule cannot stand in a function's place

    assert mj.embed is embedding.embed
    assert mj.SentenceEncoder is sentence_encoder.SentenceEncoder
    assert all(getattr(mj, name) is not None for name in mj.__all__)
