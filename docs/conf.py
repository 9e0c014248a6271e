"""Configuration of Sphinx: MyST pages, API reference from docstrings, and notebooks with their stored output."""

import logging
import re
from typing import Any

import jax.typing
import numpy.typing
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from minilm_jax import __version__
from minilm_jax.search import ScoreFunction

project = "minilm-jax"
copyright = "the minilm-jax contributors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["notebooks/*.md", "notebooks/*.py"]
# A toctree glob may match no file. Sphinx logs this warning without a type, so suppress_warnings cannot filter it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# The docstring of __init__ follows that of its class, so that the arguments of the constructor are shown.
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Single backquotes in docstrings mark code.
default_role = "code"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"minilm-jax {__version__}"


# autodoc expands type aliases, and those of NumPy and JAX are several lines long.
_ALIASES = {
    stringify_annotation(ScoreFunction, "smart"): "ScoreFunction",
    stringify_annotation(numpy.typing.ArrayLike, "smart"): "ArrayLike",
    stringify_annotation(jax.typing.ArrayLike, "smart"): "ArrayLike",
}


def _shorten(text: str | None) -> str | None:
    for expanded, alias in _ALIASES.items():
        text = text and text.replace(expanded, alias)
    return text and re.sub(
        r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(.*?)\]\]", r"NDArray[\1]", text
    )


def _shorten_signature(*arguments: Any) -> tuple[str | None, str | None]:
    *_, signature, return_annotation = arguments
    return _shorten(signature), _shorten(return_annotation)


def setup(app: Sphinx) -> None:
    """Connect the function that shortens signatures."""
    app.connect("autodoc-process-signature", _shorten_signature)
