"""The sentence encoder all-MiniLM-L6-v2, and every BERT of its family, as a pure JAX function.

The public names are listed in `__init__.pyi`; each is imported when first used (SPEC 1), so that this import is cheap.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
