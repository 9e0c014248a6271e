"""Sentence embeddings with all-MiniLM-L6-v2 and other BERT encoders, as a pure JAX function.

`__init__.pyi` lists the public names. Each is imported on first use (SPEC 1), so importing the package is fast.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
