from .distillation import distill_kl as distill_kl, margin_mse as margin_mse
from .duplicates import text_ids as text_ids
from .logits import binary_cross_entropy as binary_cross_entropy, cross_entropy as cross_entropy
from .matryoshka import matryoshka as matryoshka
from .ranking import multiple_negatives_ranking as multiple_negatives_ranking
from .scored_pairs import angle as angle, cosent as cosent, cosine_similarity as cosine_similarity
from .sparse import flops as flops, splade as splade
from .table import LOSSES as LOSSES, Loss as Loss, LossFunction as LossFunction, as_loss as as_loss, name_of as name_of
from .triplets import triplet as triplet

__all__: list[str]
