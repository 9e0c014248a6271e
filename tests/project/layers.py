"""The order of the project's modules: each layer imports from its own and from earlier ones only."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

# A package covers all its modules, except those that are listed themselves.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("minilm_jax", "minilm_jax.errors", "minilm_jax.config", "minilm_jax.progress", "minilm_jax.atomic_files"),
    ("minilm_jax.arguments", "minilm_jax.forks", "minilm_jax.imports", "minilm_jax.user_warnings"),
    ("minilm_jax.converter", "minilm_jax.files", "minilm_jax.tokens"),
    ("minilm_jax.nn",),
    ("minilm_jax.checkpoints",),
    ("minilm_jax.runtime", "minilm_jax.vectors"),
    ("minilm_jax.pretrained", "minilm_jax.output_options", "minilm_jax.sentence_transformers_api"),
    ("minilm_jax.prompts", "minilm_jax.score_activations"),
    ("minilm_jax.text_model",),
    ("minilm_jax.sentence_encoder", "minilm_jax.cross_encoder", "minilm_jax.sparse_encoder"),
    ("minilm_jax.fingerprint", "minilm_jax.model_kinds", "minilm_jax.shared_encoders"),
    ("minilm_jax.search", "minilm_jax.explain", "minilm_jax.export"),
    ("minilm_jax.evaluation",),
    ("minilm_jax.training",),
    ("minilm_jax.integrations", "minilm_jax.plot", "minilm_jax.scale", "minilm_jax.serving"),
    ("minilm_jax.cli",),
    ("minilm_jax.__main__",),
    ("convert", "convert.reading"),
    ("convert.graph",),
    ("convert.recognition",),
    ("convert.verification",),
    ("convert.flax_to_onnx", "convert.known_files", "convert.onnx_to_flax"),
    ("convert.writing",),
    ("convert.default_model",),
    ("convert.pipeline",),
    ("convert.__main__",),
)
_LAYER_OF = {name: index for index, names in enumerate(LAYERS) for name in names}


def layer(module: str) -> int:
    """Return the index of the layer that lists a module or, if none does, its innermost listed package."""
    name = module
    while name not in _LAYER_OF:
        name, _, last = name.rpartition(".")
        assert last, f"{module} is in no layer of tests/project/layers.py"
        if name in ("minilm_jax", "convert"):
            raise AssertionError(f"{module} is in no layer of tests/project/layers.py")
    return _LAYER_OF[name]


def modules() -> dict[str, Path]:
    """Return the file of every module of the two packages, by its dotted name."""
    files = [path for package in ("minilm_jax", "convert") for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports(path: Path, *, at_import_time: bool = False) -> set[str]:
    """Return the names that a file imports; with `at_import_time`, only by its top-level statements."""
    tree = ast.parse(path.read_text("utf-8"))
    return {name for node in (tree.body if at_import_time else ast.walk(tree)) for name in _imported(node)}


def own_imports(path: Path) -> set[str]:
    """Return the modules of the two packages that a file imports, inside functions too."""
    known = modules()
    found = {name if name in known else _defining_module(*name.rpartition(".")[::2]) for name in imports(path)}
    return {name for name in found if name in known}


def _defining_module(package: str, name: str) -> str:
    """Return the submodule from which a package with a stub imports a name on first use, or the package itself."""
    stub = ROOT / package.replace(".", "/") / "__init__.pyi"
    if not stub.exists():
        return package
    statements = [node for node in ast.parse(stub.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    return next((f"{package}.{s.module}" for s in statements if name in {a.name for a in s.names}), package)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
