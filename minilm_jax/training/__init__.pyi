from . import losses as losses
from .data import TrainingData as TrainingData
from .grad_cache import in_chunks as in_chunks
from .hard_negatives import mine_hard_negatives as mine_hard_negatives
from .log import read_log as read_log
from .new_models import new_cross_encoder as new_cross_encoder, with_layers as with_layers
from .options import TrainingOptions as TrainingOptions
from .train import TrainingResult as TrainingResult, train as train

__all__: list[str]
