"""Completeness of the API reference."""

import inspect
import re
from types import ModuleType

import minilm_jax as mj
from minilm_jax import evaluation, explain, export, plot, search, training
from minilm_jax.training import losses
from tests.helpers.paths import DOCS


def defined_names(module: ModuleType) -> list[str]:
    """Return the public functions and classes that are defined in a module or its submodules."""
    return [
        name
        for name, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith(module.__name__)
        and not name.startswith("_")
    ]


PUBLIC_NAMES = {
    *mj.__all__,
    *search.__all__,
    *training.__all__,
    *losses.__all__,
    *evaluation.__all__,
    *(name for module in (plot, explain, export) for name in defined_names(module)),
}


def test_api_reference_lists_every_public_name() -> None:
    reference = "\n".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
    directives = re.findall(r"^(?:\.\. (?:auto|py:)\w+:: |   :members: )(.*)", reference, re.MULTILINE)
    listed = {name for directive in directives for name in re.findall(r"\w+", directive)}
    assert PUBLIC_NAMES - {"explain", "plot", "search", "training", "evaluation", "losses", "__version__"} <= listed
