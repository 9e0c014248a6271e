from . import search as search
from .batching import Batch as Batch
from .casting import cast as cast
from .checkpoint import load_params as load_params, save_params as save_params
from .compilation_cache import enable_compilation_cache as enable_compilation_cache
from .config import ALL_MINILM_L6_V2 as ALL_MINILM_L6_V2, EncoderConfig as EncoderConfig
from .embedding import embed as embed
from .encoder import EncoderOutput as EncoderOutput, encode as encode
from .errors import (
    ConversionError as ConversionError,
    InputError as InputError,
    MinilmJaxError as MinilmJaxError,
    ModelFileError as ModelFileError,
    SearchIndexError as SearchIndexError,
)
from .exporting import load_exported as load_exported
from .packing import PackedBatch as PackedBatch
from .params import init_params as init_params
from .sentence_encoder import SentenceEncoder as SentenceEncoder
from .tokenization import tokenize as tokenize

__all__: list[str]
__version__: str
