"""Imports run one way, onnx and the converter stay optional, and test modules share code only through helpers."""

import graphlib
import re
import subprocess
import sys

import pytest

import minilm_jax as mj
from minilm_jax import sentence_encoder
from minilm_jax.config import encoder_config
from minilm_jax.nn import embedding
from tests.helpers.paths import ROOT
from tests.project.layers import imports, layer, modules, own_imports

ENGINES = tuple(f"minilm_jax.scale.{name}" for name in ("ray", "beam", "spark"))
ADAPTERS = ("minilm_jax.integrations", *ENGINES)


def test_no_module_imports_from_a_later_layer() -> None:
    upward = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in own_imports(path)
        if layer(other) > layer(name)
    ]
    assert upward == []


def test_imports_have_no_cycles() -> None:
    graphlib.TopologicalSorter({name: own_imports(path) - {name} for name, path in modules().items()}).prepare()


def test_only_one_module_of_the_library_imports_the_converter() -> None:
    library = {name: path for name, path in modules().items() if name.startswith("minilm_jax")}
    statements = [name for name, path in library.items() if any(n.split(".")[0] == "convert" for n in imports(path))]
    assert statements == []
    dynamic = [name for name, path in library.items() if 'import_module(f"convert.' in path.read_text("utf-8")]
    assert dynamic == ["minilm_jax.converter"]


def test_library_modules_do_not_import_onnx() -> None:
    for name, path in modules().items():
        if name.startswith("minilm_jax"):
            assert not {n.split(".")[0] for n in imports(path, at_import_time=True)} & {"convert", "onnx"}, name


def test_adapters_are_imported_by_nothing_else_and_not_by_each_other() -> None:
    for name, path in modules().items():
        used = {other for other in own_imports(path) if other.startswith(ADAPTERS)}
        allowed = {"minilm_jax.scale.ray"} if name == "minilm_jax.scale.run" else {"minilm_jax.integrations"}
        assert used <= allowed, name


def test_only_its_command_imports_the_corpus_runner() -> None:
    users = {
        name for name, path in modules().items() if any(n.startswith("minilm_jax.scale") for n in own_imports(path))
    }
    assert {name for name in users if not name.startswith("minilm_jax.scale")} == {"minilm_jax.cli.embed_corpus"}


@pytest.mark.parametrize(
    "trusting",
    ["onnx.hub", "version_converter", "shape_inference", "load_external_data", "pickle.load", "allow_pickle=True"],
)
def test_converter_uses_no_onnx_function_that_trusts_its_input(trusting: str) -> None:
    assert [path for path in (ROOT / "convert").rglob("*.py") if trusting in path.read_text("utf-8")] == []


def test_only_the_separate_process_evaluates_graphs() -> None:
    # That process evaluates only trusted graphs with onnx, see `choose_runtime`. Constants are folded one operator at a
    # time, with operators from a list and limits on memory and work.
    users = {path.name for path in (ROOT / "convert").rglob("*.py") if "ReferenceEvaluator" in path.read_text("utf-8")}
    assert users == {"graph_runner.py", "evaluation.py"}


def test_no_file_imports_a_test_module_or_conftest() -> None:
    tested = re.compile(r"(tests\.(\w+\.)*)?(test_\w+|conftest)(\.|$)")
    files = [path for folder in ("tests", "benchmarks", "notebooks") for path in (ROOT / folder).rglob("*.py")]
    assert [(str(path), name) for path in files for name in imports(path) if tested.match(name)] == []


def test_importing_the_package_imports_no_heavy_dependency() -> None:
    heavy = "jax flax onnx numpy tokenizers huggingface_hub click".split()
    code = f"import sys, minilm_jax; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_public_names_resolve_to_objects_not_modules() -> None:
    assert mj.embed is embedding.embed
    assert mj.SentenceEncoder is sentence_encoder.SentenceEncoder
    assert mj.EncoderConfig is encoder_config.EncoderConfig
    assert all(getattr(mj, name) is not None for name in mj.__all__)
