from .binary import hamming_sim as hamming_sim, semantic_search_binary as semantic_search_binary
from .communities import community_detection as community_detection
from .exact import Hit as Hit, Nearest as Nearest, nearest as nearest, semantic_search as semantic_search
from .fusion import reciprocal_rank_fusion as reciprocal_rank_fusion
from .index import SearchIndex as SearchIndex, TextHit as TextHit
from .paraphrases import (
    paraphrase_mining as paraphrase_mining,
    paraphrase_mining_embeddings as paraphrase_mining_embeddings,
)
from .scores import (
    ScoreFunction as ScoreFunction,
    cos_sim as cos_sim,
    dot_score as dot_score,
    euclidean_sim as euclidean_sim,
    manhattan_sim as manhattan_sim,
    pairwise_cos_sim as pairwise_cos_sim,
    pairwise_dot_score as pairwise_dot_score,
    pairwise_euclidean_sim as pairwise_euclidean_sim,
    pairwise_manhattan_sim as pairwise_manhattan_sim,
    quantize_embeddings as quantize_embeddings,
)
from .sparse import semantic_search_sparse as semantic_search_sparse

__all__: list[str]
