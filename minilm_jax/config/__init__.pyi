from .checks import short_repr as short_repr
from .choices import (
    Activation as Activation,
    AttentionImplementation as AttentionImplementation,
    CorpusEngine as CorpusEngine,
    CorpusFormat as CorpusFormat,
    HeadActivation as HeadActivation,
    LossName as LossName,
    OnnxPrecision as OnnxPrecision,
    OutputPrecision as OutputPrecision,
    OutputValue as OutputValue,
    ParamsFormat as ParamsFormat,
    PartitionMode as PartitionMode,
    PictureFormat as PictureFormat,
    Platform as Platform,
    PoolingMode as PoolingMode,
    Precision as Precision,
    ProjectionActivation as ProjectionActivation,
    ProjectionKind as ProjectionKind,
    ProjectionMethod as ProjectionMethod,
    RankingDirection as RankingDirection,
    Role as Role,
    ScoreActivation as ScoreActivation,
    SearchBackend as SearchBackend,
    Shell as Shell,
    SparseActivation as SparseActivation,
    SparsePooling as SparsePooling,
    TextFormat as TextFormat,
    TripletDistance as TripletDistance,
    VectorFormat as VectorFormat,
    VectorType as VectorType,
    WeightsPlace as WeightsPlace,
)
from .encoder_config import ALL_MINILM_L6_V2 as ALL_MINILM_L6_V2, EncoderConfig as EncoderConfig
from .heads import Classifier as Classifier, Projection as Projection, SparseHead as SparseHead

__all__: list[str]
