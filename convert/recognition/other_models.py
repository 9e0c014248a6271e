"""Name the model of a graph that is not BERT, where the graph shows it."""

from collections.abc import Mapping

from convert.graph.graph import Graph
from minilm_jax.errors import ConversionError

# Parts of the names of weights and nodes, which most exporters keep, and the models that have them.
_NAMES: Mapping[str, str] = {
    "relative_attention_bias": "a model with relative positions, such as MPNet or T5",
    "distance_embedding": "BERT with relative positions",
    "rel_embeddings": "DeBERTa, which has relative positions",
    "pos_proj": "DeBERTa, which has relative positions",
    "tok_embeddings": "ModernBERT, which has rotary positions",
    "nomic": "NomicBERT, which has rotary positions",
    "Wqkv": "NomicBERT or ModernBERT, which have rotary positions",
    "embedding_hidden_mapping": "ALBERT, which shares its layers",
    "embeddings_project": "ELECTRA, which projects its embeddings",
}
_ROTARY = "a model with rotary positions, such as NomicBERT or ModernBERT"


def named(error: ConversionError, graph: Graph) -> ConversionError:
    """Return the error with the name of the model that the graph contains, if it is recognized.

    Args:
        error: The first difference from BERT.
        graph: The graph.
    """
    model = _model(graph)
    return error if model is None else ConversionError(f"this is {model}. It is not supported: {error}")


def _model(graph: Graph) -> str | None:
    texts = {name for node in graph.nodes for name in (node.name, *node.inputs)}
    for part, model in _NAMES.items():
        if any(part in text for text in texts):
            return model
    operators = {node.op_type for node in graph.nodes}
    # Rotary positions are sines and cosines; a constant table of them is multiplied by query and key.
    return _ROTARY if {"Sin", "Cos"} <= operators or "RotaryEmbedding" in operators else None
