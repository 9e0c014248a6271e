"""Name the heads of tasks that are not converted."""

from convert.recognition.blocks import REARRANGING, Linear
from convert.recognition.walk import ACTIVATION_PARTS, Walk

# The activations between the layers of a classifier that is converted.
CLASSIFIER_ACTIVATIONS = ("Tanh", "Relu")

_START_AND_END = 2


def unsupported_head(walk: Walk, linear: Linear, hidden: str) -> str | None:
    """Return what the head is that starts with a dense layer over the last hidden state.

    Args:
        walk: The walk, after the heads that are converted.
        linear: The dense layer.
        hidden: The last hidden state.

    Returns:
        The kind of head with an article, or None if it is not recognized.
    """
    of_tokens, labels = walk.same(linear.input, hidden), linear.kernel.value.shape[1]
    if of_tokens and labels == _START_AND_END and _is_split(walk, linear.output):
        return "one for question answering, with the logits of start and end"
    if of_tokens:
        return f"a classifier of tokens with {labels} labels" if walk.is_output(linear.output) else None
    if walk.is_output(linear.output):
        return "a classifier without a pooler, or a projection"
    if walk.graph.consumers(linear.output, *CLASSIFIER_ACTIVATIONS):
        return None
    later = walk.graph.trace_forward(linear.output, ACTIVATION_PARTS, walk.linears_by_input.get)
    return "the classifier of ELECTRA or another one whose activation is neither tanh nor ReLU" if later else None


def _is_split(walk: Walk, tensor: str) -> bool:
    parts = walk.graph.trace_forward(
        tensor, (*REARRANGING, "Split", "Slice", "Gather"), lambda name: True if walk.is_output(name) else None
    )
    return bool(parts) and not walk.is_output(tensor)
