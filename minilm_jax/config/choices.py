"""Every literal type of the project; the command line derives its choices from them without importing jax."""

from typing import Literal

Activation = Literal["gelu", "gelu_new"]
PoolingMode = Literal["mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last_token"]
ProjectionKind = Literal["dense", "layer_norm"]
ProjectionActivation = Literal["identity", "tanh", "relu", "gelu", "sigmoid"]
AttentionImplementation = Literal["xla", "cudnn"]
HeadActivation = Literal["tanh", "relu"]
ScoreActivation = Literal["identity", "sigmoid", "tanh", "softmax"]
SparsePooling = Literal["max", "sum"]
SparseActivation = Literal["relu", "log1p_relu"]

# The network computes in a Precision; finished vectors are rounded to an OutputPrecision.
Precision = Literal["float32", "bfloat16", "float16", "int8"]
OutputPrecision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
OutputValue = Literal["sentence_embedding", "token_embeddings"]
Role = Literal["query", "document"]

# These are the formats of the files that are read or written.
ParamsFormat = Literal["safetensors", "msgpack", "orbax"]
OnnxPrecision = Literal["float32", "float16", "int8"]
TextFormat = Literal["txt", "jsonl", "csv", "tsv", "parquet"]
VectorFormat = Literal["npy", "npz", "parquet", "jsonl", "csv"]
CorpusFormat = Literal["parquet", "arrow", "jsonl", "csv", "tsv"]
VectorType = Literal["float32", "float16", "int8", "binary"]

# These are the options of exported programs.
Platform = Literal["cpu", "cuda", "rocm", "tpu"]
WeightsPlace = Literal["inside", "beside"]

CorpusEngine = Literal["local", "ray"]
Shell = Literal["bash", "zsh", "fish"]
PictureFormat = Literal["png", "svg", "pdf"]
ProjectionMethod = Literal["pca", "tsne", "umap"]
SearchBackend = Literal["exact", "usearch"]

# These are the losses of minilm_jax/training, and options of some of them.
LossName = Literal[
    "multiple_negatives_ranking",
    "multiple_negatives_symmetric_ranking",
    "cosent",
    "angle",
    "cosine_similarity",
    "triplet",
    "margin_mse",
    "distill_kl",
    "cross_entropy",
    "binary_cross_entropy",
]
RankingDirection = Literal["query_to_doc", "doc_to_query", "query_to_query", "doc_to_doc"]
TripletDistance = Literal["euclidean", "cosine", "manhattan"]
PartitionMode = Literal["joint", "per_direction"]
