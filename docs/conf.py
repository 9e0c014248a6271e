"""Sphinx: pages are MyST markdown, the reference is the docstrings', notebooks are shown as they were run."""

import logging

from minilm_jax import __version__

project = "minilm-jax"
copyright = "the minilm-jax contributors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["notebooks/*.md", "notebooks/*.py"]
# A glob may match nothing; suppress_warnings does not reach this warning, which Sphinx logs without a type.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# A single backquote in a docstring is code.
default_role = "code"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"minilm-jax {__version__}"
