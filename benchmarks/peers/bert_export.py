"""The model as torch exports it to ONNX, in the form that onnxruntime's optimizer recognizes as BERT."""
# pyright: reportMissingImports=false

import functools
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import prepared

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "last_hidden_state"

_DYNAMIC_AXES = {0: "texts", 1: "tokens"}


def exported(folder: Path) -> Path:
    """Return the ONNX file of a model, created at the first call."""
    return prepared(f"torch-{version('torch')}.onnx", functools.partial(_export, folder))


def _export(folder: Path, path: Path) -> None:
    import torch
    from transformers import AttentionInterface, BertModel

    AttentionInterface.register("divided", _divided)
    bert = BertModel.from_pretrained(folder, attn_implementation="divided", add_pooling_layer=False).eval()

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            # BertModel's own handling of the mask gives another graph with each version of transformers.
            unseen = (1.0 - mask[:, None, None].to(torch.float32)) * torch.finfo(torch.float32).min
            return bert.encoder(bert.embeddings(input_ids=ids, token_type_ids=types), attention_mask=unseen)[0]

    ones = torch.ones(2, 8, dtype=torch.int64)
    torch.onnx.export(
        Encoder(),
        (ones, ones, torch.zeros_like(ones)),
        path,
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_axes={name: _DYNAMIC_AXES for name in (*INPUTS, OUTPUT)},
        opset_version=17,
        dynamo=False,  # The patterns of onnxruntime's optimizer fit only this exporter.
    )


def _divided(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **_: Any) -> tuple[Any, None]:
    """Compute attention with a division, because the optimizer does not recognize transformers' multiplication."""
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5 + attention_mask
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None
