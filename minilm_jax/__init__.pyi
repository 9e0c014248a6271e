from . import evaluation as evaluation, explain as explain, plot as plot, search as search, training as training
from .checkpoints.folder_config import load_config as load_config
from .checkpoints.model_tokenizer import tokenize as tokenize
from .checkpoints.weights import load_params as load_params, save_params as save_params
from .config.encoder_config import ALL_MINILM_L6_V2 as ALL_MINILM_L6_V2, EncoderConfig as EncoderConfig
from .config.heads import Classifier as Classifier, Projection as Projection, SparseHead as SparseHead
from .cross_encoder import CrossEncoder as CrossEncoder
from .errors import (
    ConversionError as ConversionError,
    InputError as InputError,
    MinilmJaxError as MinilmJaxError,
    ModelFileError as ModelFileError,
    OverloadedError as OverloadedError,
    SearchIndexError as SearchIndexError,
)
from .export import load_exported as load_exported, save_exported as save_exported
from .nn.casting import cast as cast
from .nn.classification import classify as classify
from .nn.embedding import embed as embed
from .nn.encoder import EncoderOutput as EncoderOutput, encode as encode
from .nn.encoder_params import EncoderParams as EncoderParams, init_params as init_params
from .nn.sparse import embed_sparse as embed_sparse
from .runtime.compilation_cache import enable_compilation_cache as enable_compilation_cache
from .sentence_encoder import SentenceEncoder as SentenceEncoder
from .serving.async_encoder import AsyncSentenceEncoder as AsyncSentenceEncoder
from .sparse_encoder import SparseEncoder as SparseEncoder
from .tokens.batching import Batch as Batch
from .tokens.packed_rows import PackedBatch as PackedBatch
from .tokens.tokenizer import TextTokenizer as TextTokenizer

__all__: list[str]
__version__: str
