"""Models above the size of one protobuf message: their tensors are written to a separate file."""

from pathlib import Path

import onnx

from convert.reading.tensors import size_in_bytes

# protobuf limits one message to 2 GiB; the rest of a model is far smaller than this margin.
MAX_TENSOR_BYTES = 2**31 - 2**26
# Smaller tensors stay in the model.
_SMALLEST = 1_024


def is_large(model: onnx.ModelProto) -> bool:
    """Return whether the tensors of a model exceed the size of one protobuf message."""
    return sum(map(size_in_bytes, model.graph.initializer)) > MAX_TENSOR_BYTES


def with_external_data(model: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    """Write the large initializers of a model to a file, and return a model that refers to them.

    Args:
        model: A model whose tensors hold their data.
        file: The file to write, next to which the new model must be stored.

    Returns:
        A copy of the model without this data.
    """
    light = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    light.producer_version = model.producer_version
    light.opset_import.extend(model.opset_import)
    graph = light.graph
    graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(graph, field).extend(getattr(model.graph, field))
    with file.open("wb") as data:
        for tensor in model.graph.initializer:
            if tensor.HasField("raw_data") and len(tensor.raw_data) >= _SMALLEST:
                place = {"location": file.name, "offset": str(data.tell()), "length": str(len(tensor.raw_data))}
                data.write(tensor.raw_data)
                entry = graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
                entry.data_location = onnx.TensorProto.EXTERNAL
                entry.external_data.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in place.items())
            else:
                graph.initializer.append(tensor)
    return light
