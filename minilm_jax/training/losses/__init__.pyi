from .duplicates import text_ids as text_ids
from .matryoshka import matryoshka as matryoshka
from .ranking import multiple_negatives_ranking as multiple_negatives_ranking
from .scored_pairs import angle as angle, cosent as cosent, cosine_similarity as cosine_similarity
from .table import LOSSES as LOSSES, Loss as Loss, LossFunction as LossFunction, as_loss as as_loss

__all__: list[str]
