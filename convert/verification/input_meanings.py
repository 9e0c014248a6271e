"""Find the meaning of each input of a graph."""

from collections.abc import Mapping

import onnx

from convert.graph.graph import input_names
from convert.recognition.bert_layout import BertLayout
from minilm_jax.errors import ConversionError

# An input that the data flow does not explain is recognized by one of these parts of its name.
_MEANING_OF_NAME: Mapping[str, str] = {
    "mask": "attention_mask",
    "type": "token_type_ids",
    "segment": "token_type_ids",
    "position": "position_ids",
}


def meanings_of_inputs(model: onnx.ModelProto, layout: BertLayout) -> dict[str, str]:
    """Return the meaning of each input of a graph: a field of `Batch`, or "position_ids".

    Inputs that select table rows or change attention scores are known from the layout. A single other input is the
    mask if there is no other one; if there are several, their names decide.

    Args:
        model: The model.
        layout: The encoder recognized in it.

    Returns:
        The meanings by name.

    Raises:
        ConversionError: An input has no known meaning.
    """
    names = input_names(model)
    known = dict.fromkeys(layout.masks, "attention_mask") | dict(layout.inputs)
    meanings = {name: known.get(name) or _meaning_of_name(name) for name in names}
    others = [name for name in names if not meanings[name]]
    if len(others) == 1 and "attention_mask" not in meanings.values():
        meanings[others[0]] = "attention_mask"
    for name, meaning in meanings.items():
        if not meaning:
            raise ConversionError(
                f"the graph has an input {name!r}, which is not one of input_ids, attention_mask, token_type_ids,"
                " position_ids."
            )
    return meanings


def _meaning_of_name(name: str) -> str:
    return next((meaning for part, meaning in _MEANING_OF_NAME.items() if part in name), "")
