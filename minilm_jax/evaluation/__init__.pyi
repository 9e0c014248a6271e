from .pairs import BinaryClassificationEvaluator as BinaryClassificationEvaluator
from .reranking import (
    CrossEncoderRerankingEvaluator as CrossEncoderRerankingEvaluator,
    RerankingEvaluator as RerankingEvaluator,
)
from .retrieval import InformationRetrievalEvaluator as InformationRetrievalEvaluator
from .similarity import EmbeddingSimilarityEvaluator as EmbeddingSimilarityEvaluator
from .triplets import TripletEvaluator as TripletEvaluator

__all__: list[str]
