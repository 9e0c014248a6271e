"""Evaluation of models, with the metrics of sentence-transformers.

The public names are listed in `__init__.pyi`; each is imported when it is first used (SPEC 1).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
