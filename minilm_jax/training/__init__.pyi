from . import losses as losses
from .data import TrainingData as TrainingData
from .grad_cache import in_chunks as in_chunks
from .options import TrainingOptions as TrainingOptions
from .train import TrainingResult as TrainingResult, train as train

__all__: list[str]
