"""Configuration: `EncoderConfig`, and every literal type of the project; no file is read here.

The names are listed in `__init__.pyi` and imported on first use, so that the literals can be used without jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
