"""List all forms of the encoder, with the way to make each and the form that it is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import exporters
import onnx
import optimizers
import quantizers
import rewrites
import tensorflow
import tiny
from exporters import Export

OLD, NEW = "4.57.6", "5.23.0"
TORCHSCRIPT, DYNAMO = "torch.onnx.export(dynamo=False)", "torch.onnx.export(dynamo=True)"


@dataclass(frozen=True)
class Form:
    """One file.

    Attributes:
        name: File name without its extension.
        build: Function that makes the graph, from the graph of `source` if there is one.
        tool: The function or option of the tool.
        package: The package of the tool.
        source: The form that it is made from, or None.
        special: Properties that distinguish it.
        kind: Type in which the weights are stored.
        model: The name of the model, a key of `tiny.SIZES`.
        pooler: Whether the graph returns the output of the pooler.
        pooling: "mean" or "cls" if the graph pools, else None.
        normalize: Whether the graph scales sentence vectors to unit length.
        external: Storage of external data: "one" file, "each" tensor in a file, the tool's "own" way, or None.
        transformers: The release of transformers to make it with.
    """

    name: str
    build: Callable[..., onnx.ModelProto]
    tool: str
    package: str
    source: str | None = None
    special: str = ""
    kind: str = "float32"
    model: str = "bert"
    pooler: bool = False
    pooling: str | None = None
    normalize: bool = False
    external: str | None = None
    transformers: str = OLD

    @property
    def producer(self) -> str:
        """The package, its version and the tool."""
        return f"{self.package} {version(self.package)}: {self.tool}"

    def meanings(self, model: onnx.ModelProto) -> dict[str, str]:
        """Return the key in `tiny.reference` of each output."""
        known = {name: name for name in ("pooler_output", "logits")}
        if self.pooling:
            known["sentence_embedding"] = tiny.pooling_key(self.pooling, normalize=self.normalize)
        return {value.name: known.get(value.name, "last_hidden_state") for value in model.graph.output}


def exported(name: str, opset: int, attention: str = "eager", special: str = "", **changes: Any) -> Form:
    """Return a form exported by torch; changes are attributes of `Export`, or `transformers`."""
    release = changes.pop("transformers", OLD)
    export = Export(opset, attention, **changes)
    return Form(
        name,
        partial(exporters.run, export),
        DYNAMO if export.dynamo else TORCHSCRIPT,
        "torch",
        special="; ".join(filter(None, [f"{attention} attention", special])),
        kind=export.dtype,
        model=export.model,
        pooler=export.pooler,
        pooling=export.pooling,
        normalize=export.normalize,
        transformers=release,
    )


def plain_exports() -> Iterator[Form]:
    """Yield exports of all opsets, attention implementations, poolers and inputs."""
    for opset in (11, 12, 13, 14, 16, 17, 18, 20):
        yield exported(f"ts{opset}-eager", opset)
    for opset in (14, 17, 18):
        yield exported(f"ts{opset}-sdpa", opset, "sdpa")
    for opset, attention in ((18, "sdpa"), (20, "eager"), (21, "sdpa"), (23, "sdpa")):
        yield exported(f"dynamo{opset}-{attention}", opset, attention, dynamo=True)
    two, four = tiny.USUAL_INPUTS[:2], (*tiny.USUAL_INPUTS, "position_ids")
    yield exported("ts11-eager-pooler", 11, pooler=True)
    yield exported("ts14-eager-pooler", 14, pooler=True)
    yield exported("ts14-sdpa-pooler", 14, "sdpa", pooler=True)
    yield exported("ts17-sdpa-pooler", 17, "sdpa", pooler=True)
    yield exported("dynamo21-sdpa-pooler", 21, "sdpa", dynamo=True, pooler=True)
    yield exported("ts14-eager-no-types", 14, inputs=two, special="no token_type_ids")
    yield exported("ts17-sdpa-no-types", 17, "sdpa", inputs=two, special="no token_type_ids")
    yield exported("dynamo20-sdpa-no-types", 20, "sdpa", dynamo=True, inputs=two, special="no token_type_ids")
    yield exported("ts14-eager-positions", 14, inputs=four, special="position_ids is an input")
    yield exported("dynamo18-sdpa-positions", 18, "sdpa", dynamo=True, inputs=four, special="position_ids is an input")
    yield exported("ts14-eager-int32", 14, integer="int32", special="int32 inputs")
    yield exported("ts17-sdpa-int32", 17, "sdpa", integer="int32", special="int32 inputs")
    yield exported("dynamo21-sdpa-int32", 21, "sdpa", dynamo=True, integer="int32", special="int32 inputs")
    swapped = ("token_type_ids", "attention_mask", "input_ids")
    yield exported("ts14-sdpa-reordered", 14, "sdpa", inputs=swapped, special="inputs in another order")
    yield exported("ts14-eager-static", 14, axes="none", special="fixed shape [2, 12]")
    yield exported("ts17-sdpa-static", 17, "sdpa", axes="none", special="fixed shape [2, 12]")
    yield exported("dynamo18-sdpa-static", 18, "sdpa", dynamo=True, axes="none", special="fixed shape [2, 12]")
    yield exported("ts14-eager-batch", 14, axes="batch", special="12 tokens, open batch")
    yield exported("dynamo20-sdpa-batch", 20, "sdpa", dynamo=True, axes="batch", special="12 tokens, open batch")
    yield exported("ts14-sdpa-unfolded", 14, "sdpa", pooler=True, fold=False, special="no constant folding")
    yield exported("ts11-eager-keep-inputs", 11, keep_inputs=True, special="weights are graph inputs too")
    yield exported("ts17-sdpa-tf5", 17, "sdpa", pooler=True, transformers=NEW, special="boolean mask")
    yield exported("dynamo18-sdpa-tf5", 18, "sdpa", dynamo=True, transformers=NEW, special="boolean mask")
    yield exported("dynamo23-sdpa-tf5", 23, "sdpa", dynamo=True, transformers=NEW, special="boolean mask")


def pooled_exports() -> Iterator[Form]:
    """Yield exports with pooling in the graph."""
    for pooling in ("mean", "cls"):
        for normalize in (False, True):
            name = f"{pooling}-unit" if normalize else pooling
            chosen: dict[str, Any] = {"pooling": pooling, "normalize": normalize}
            yield exported(f"ts14-sdpa-{name}", 14, "sdpa", **chosen)
            if normalize:
                yield exported(f"dynamo18-sdpa-{name}", 18, "sdpa", dynamo=True, **chosen)
    only = {"pooling": "mean", "normalize": True, "tokens": False, "special": "only the sentence embedding"}
    yield exported("ts11-eager-mean-unit-only", 11, **only)
    yield exported("ts17-sdpa-mean-unit-only", 17, "sdpa", **only)
    cls_only = only | {"pooling": "cls"}
    yield exported("ts17-sdpa-cls-unit-only", 17, "sdpa", **cls_only)


def derived(name: str, source: str, build: Callable[..., onnx.ModelProto], tool: str, **changes: Any) -> Form:
    """Return a form made from another; changes are attributes of `Form`."""
    package = changes.pop("package", "onnxruntime")
    return Form(name, build, tool, package, source=source, **changes)


def optimum_exports() -> Iterator[Form]:
    """Yield exports of optimum."""
    for opset in (14, 18):
        build = partial(exporters.optimum, opset)
        tool = f"main_export(task='feature-extraction', opset={opset})"
        yield Form(f"optimum{opset}", build, tool, "optimum-onnx")
    build = partial(exporters.optimum, 14, slim=True)
    yield Form("optimum14-slim", build, "main_export(task='feature-extraction', slim=True)", "optimum-onnx")
    for pooling, normalize in (("mean", True), ("cls", False)):
        build = partial(exporters.optimum_sentence, 14, pooling, normalize=normalize)
        name = f"optimum14-sentence-{pooling}{'-unit' * normalize}"
        tool = "main_export(task='sentence-similarity', library_name='sentence_transformers')"
        yield Form(name, build, tool, "optimum-onnx", pooling=pooling, normalize=normalize)


def simplified() -> Iterator[Form]:
    """Yield graphs that were converted to other opsets, simplified, or saved by a session."""
    for source, opset in (
        ("ts11-eager", 16),
        ("ts11-eager-pooler", 16),
        ("ts14-sdpa", 18),
        ("ts17-sdpa", 21),
        ("dynamo18-sdpa", 21),
    ):
        build = partial(optimizers.converted, opset=opset)
        yield derived(f"{source}-to{opset}", source, build, f"version_converter to {opset}", package="onnx")
    for source in ("ts11-eager", "ts14-sdpa", "ts14-sdpa-mean-unit", "ts17-sdpa-static", "dynamo18-sdpa"):
        yield derived(f"{source}-onnxsim", source, optimizers.onnxsim, "simplify", package="onnxsim")
        yield derived(f"{source}-onnxslim", source, optimizers.onnxslim, "slim", package="onnxslim")
    for source, levels in (
        ("ts11-eager", ("basic", "all")),
        ("ts14-eager-pooler", ("extended", "all")),
        ("ts14-sdpa", ("basic", "all")),
        ("ts14-sdpa-mean-unit", ("extended",)),
        ("ts17-sdpa-pooler", ("extended",)),
        ("ts14-eager-static", ("all",)),
        ("ts20-eager", ("all",)),
        ("dynamo18-sdpa", ("basic", "all")),
        ("dynamo23-sdpa", ("all",)),
        ("gelu-new-ts14", ("extended",)),
    ):
        for level in levels:
            build = partial(optimizers.saved_session, level=level)
            tool = f"optimized_model_filepath at ORT_ENABLE_{level.upper()}"
            yield derived(f"{source}-ort-{level}", source, build, tool)


def source_model(source: str) -> str:
    """Return the encoder whose name is the start of the name of a form."""
    return next((name for name in tiny.SIZES if source.startswith(name)), "bert")


def fused() -> Iterator[Form]:
    """Yield graphs fused by the levels of optimum and by onnxruntime.transformers."""
    others = ("ts14-eager-pooler", "three-layers-ts14", "gelu-new-ts14", "zero-bias-ts14")
    for source in ("ts11-eager", "ts14-sdpa", "dynamo18-sdpa", *others):
        wide = source not in others
        for level in ("O1", "O2", "O3", "O4") if wide else ("O2",):
            build = partial(optimizers.optimum, level=level, name=source_model(source))
            kind = "float16" if level == "O4" else "float32"
            special = {"O3": "FastGelu approximates GELU by tanh", "O4": "FastGelu; float16"}.get(level, "")
            yield derived(
                f"{source}-{level}",
                source,
                build,
                f"ORTOptimizer at {level}",
                package="optimum-onnx",
                kind=kind,
                special=special,
            )
    options: dict[str, dict[str, Any]] = {
        "default": {},
        "no-embed": {"enable_embed_layer_norm": False},
        "raw-mask": {"raw_mask": True},
        "mha": {"use_multi_head_attention": True},
        "no-bias-skip": {"enable_bias_skip_layer_norm": False, "enable_bias_gelu": False},
        "no-skip": {"enable_skip_layer_norm": False},
        "no-attention": {"enable_attention": False},
    }
    chosen = {
        "ts11-eager": options,
        "ts14-sdpa": ("default",),
        "ts14-sdpa-mean-unit": ("default",),
        "ts17-sdpa-no-types": ("default",),
        "ts14-eager-int32": ("default",),
        "ts17-sdpa-tf5": ("default",),
        "dynamo20-eager": ("default", "no-bias-skip"),
    }
    for source, names in chosen.items():
        for name in names:
            fusions = options[name]
            build = partial(optimizers.fused, **fusions)
            tool = f"transformers.optimizer.optimize_model({fusions})"
            yield derived(f"{source}-fused-{name}", source, build, tool)


def members() -> Iterator[Form]:
    """Yield exports of encoders with other sizes and activations."""
    others = [name for name in tiny.SIZES if name not in ("bert", *tiny.CLASSES)]
    for model in others:
        yield exported(f"{model}-ts14", 14, "sdpa", model=model)
    for model in ("gelu-new", "shared-layers", "zero-bias"):
        yield exported(f"{model}-dynamo20", 20, "sdpa", dynamo=True, model=model)
    yield exported("gelu-new-eager-static", 18, axes="none", model="gelu-new", special="fixed shape [2, 12]")
    yield exported("three-layers-ts14-cls", 14, "sdpa", model="three-layers", pooling="cls", normalize=True)


def relatives() -> Iterator[Form]:
    """Yield exports of RoBERTa and DistilBERT."""
    for model in ("roberta", "distilbert"):
        chosen: dict[str, Any] = {"model": model, "inputs": tiny.USUAL_INPUTS[:2]}
        yield exported(f"{model}-ts11-eager", 11, **chosen)
        yield exported(f"{model}-ts14-eager", 14, **chosen)
        yield exported(f"{model}-ts17-sdpa", 17, "sdpa", **chosen)
        yield exported(f"{model}-dynamo18-eager", 18, dynamo=True, **chosen)
        yield exported(f"{model}-dynamo20-sdpa", 20, "sdpa", dynamo=True, **chosen)
        yield exported(f"{model}-ts14-static", 14, axes="none", special="fixed shape [2, 12]", **chosen)
        yield exported(
            f"{model}-dynamo18-static", 18, "sdpa", dynamo=True, axes="none", special="fixed shape", **chosen
        )
        yield exported(f"{model}-ts17-cls-unit", 17, "sdpa", pooling="cls", normalize=True, **chosen)


def by_hand() -> Iterator[Form]:
    """Yield graphs of TensorFlow, and graphs with other masks and weights, written by hand."""
    for name, build, special in (
        ("tf-keras", tensorflow.keras, "the operators that tf2onnx writes for transformers"),
        ("tf-original", tensorflow.original, "the operators that tf2onnx writes for the first BERT"),
        ("tf-model-garden", tensorflow.model_garden, "the operators that tf2onnx writes for TensorFlow Hub"),
    ):
        yield Form(name, build, "helper, by hand", "onnx", special=special)
    for source, name, build, special in (
        ("ts14-sdpa", "scaled", rewrites.scaled_integers, "int8 weights behind Cast and Mul"),
        ("dynamo18-sdpa", "scaled", rewrites.scaled_integers, "int8 weights behind Cast and Mul"),
        ("ts14-eager", "float-mask", rewrites.float_mask, "the mask is float"),
        ("ts14-eager", "additive-mask", rewrites.additive_mask, "the mask [B, 1, 1, T] is added to the scores"),
        ("gelu-new-eager-static", "additive-mask", rewrites.additive_mask, "the mask [2, 1, 1, 12] is added"),
    ):
        kind = "int8" if name == "scaled" else "float32"
        yield derived(f"{source}-{name}", source, build, "helper, by hand", package="onnx", special=special, kind=kind)


def rewritten() -> Iterator[Form]:
    """Yield manually rewritten graphs, and graphs with external data."""
    shapes = ("Transpose", "TransposeTwice", "Cast", "Identity", "Reshape", "Concat")
    source = "ts14-eager-pooler"
    for name, build, special in (
        ("anonymous", rewrites.anonymous, "all names are numbers"),
        ("constants", rewrites.constant_nodes, "weights are Constant nodes"),
        *((f"by-{shape.lower()}", rewrites.behind(shape), f"kernels behind {shape}") for shape in shapes),
        ("gemm", rewrites.gemm(0), "Gemm, transB=0, between Reshapes"),
        ("gemm-transposed", rewrites.gemm(1), "Gemm, transB=1, between Reshapes"),
        ("swapped", rewrites.swapped_adds, "operands of Add and Mul swapped"),
        ("duplicated", rewrites.duplicated, "every use has its own copy of a vector; the first is unused"),
        ("folded-scale", rewrites.folded_scale, "1/sqrt(8) is in the query's weights; no Div"),
        ("packed", rewrites.merged, "one MatMul for query, key and value, then Split"),
    ):
        yield derived(f"{source}-{name}", source, build, "helper, by hand", package="onnx", special=special)
    for source, external in (("ts14-sdpa", "one"), ("ts14-sdpa", "each"), ("dynamo18-sdpa", "one")):
        tool = f"save_model(save_as_external_data=True, all_tensors_to_one_file={external == 'one'})"
        name = f"{source}-external-{external}"
        yield derived(name, source, rewrites.copied, tool, package="onnx", external=external)
    name, tool = "dynamo20-eager-external-own", "ONNXProgram.save(external_data=True)"
    yield derived(name, "dynamo20-eager", rewrites.copied, tool, package="torch", external="own")


def halves() -> Iterator[Form]:
    """Yield graphs with 16-bit weights."""
    kind = "float16"
    for source in ("ts11-eager", "ts17-sdpa", "ts14-sdpa-mean-unit"):
        for keep in (True,) if "unit" in source else (True, False):
            name = f"{source}-fp16{'-io' * keep}"
            tool = f"convert_float_to_float16(keep_io_types={keep})"
            build = partial(optimizers.halved, keep_io_types=keep)
            yield derived(name, source, build, f"transformers.float16.{tool}", kind=kind)
    for source, keep in (("ts11-eager-O2", True), ("ts14-sdpa-O2", False)):
        tool = f"float16.convert_float_to_float16(keep_io_types={keep})"
        build = partial(optimizers.halved_common, keep_io_types=keep)
        package = "onnxconverter-common"
        yield derived(f"{source}-fp16-common{'-io' * keep}", source, build, tool, kind=kind, package=package)
    build = partial(optimizers.halved, keep_io_types=True)
    tool = "transformers.float16.convert_float_to_float16(keep_io_types=True)"
    yield derived("ts11-eager-fused-default-fp16", "ts11-eager-fused-default", build, tool, kind=kind)
    for dtype in ("float16", "bfloat16"):
        special = f"the torch model is {dtype}"
        yield exported(f"ts14-eager-torch-{dtype}", 14, dtype=dtype, special=special)
        yield exported(f"ts17-sdpa-torch-{dtype}", 17, "sdpa", dtype=dtype, special=special)
        yield exported(f"dynamo20-sdpa-torch-{dtype}", 20, "sdpa", dynamo=True, dtype=dtype, special=special)


def quantized() -> Iterator[Form]:
    """Yield graphs with 8-bit weights, most of them with 8-bit activations."""
    kinds = {"QInt8": "int8", "QUInt8": "uint8"}
    matmul = {"op_types_to_quantize": ["MatMul"]}
    for weight, kind in kinds.items():
        reduced = {"-reduce": {"reduce_range": True}, "-channel-reduce": {"per_channel": True, "reduce_range": True}}
        for name, options in {
            "": {},
            "-channel": {"per_channel": True},
            "-matmul": matmul,
            **(reduced if weight == "QInt8" else {}),
        }.items():
            for source in ("ts14-sdpa",) if name else ("ts11-eager", "ts14-sdpa"):
                build = partial(quantizers.dynamic, weight_type=weight, **options)
                tool = f"quantize_dynamic(weight_type={weight}{arguments(options)})"
                yield derived(f"{source}-dynamic-{kind}{name}", source, build, tool, kind=kind)
        typed = {"extra_options": {"DefaultTensorType": onnx.TensorProto.FLOAT}}
        for source in ("dynamo18-sdpa", "ts14-eager-pooler-O2", "ts14-sdpa-O3", "ts11-eager-fused-default"):
            build = partial(quantizers.dynamic, weight_type=weight, **typed)
            tool = f"quantize_dynamic(weight_type={weight}{arguments(typed)})"
            yield derived(f"{source}-dynamic-{kind}", source, build, tool, kind=kind)
    per_channel = typed | {"per_channel": True}
    build = partial(quantizers.dynamic, weight_type="QInt8", **per_channel)
    tool = f"quantize_dynamic(weight_type=QInt8{arguments(per_channel)})"
    yield derived("ts14-sdpa-O3-dynamic-int8-channel", "ts14-sdpa-O3", build, tool, kind="int8")
    for target, kind, options in (
        ("avx512_vnni", "int8", {"per_channel": False}),
        ("arm64", "int8", {"per_channel": True}),
        ("avx2", "uint8", {"per_channel": False}),
    ):
        build = partial(quantizers.optimum_dynamic, target=target, **options)
        tool = f"ORTQuantizer with {target}({arguments(options)[2:]})"
        yield derived(f"ts14-sdpa-{target}", "ts14-sdpa", build, tool, kind=kind, package="optimum-onnx")
    asymmetric = {"extra_options": {"WeightSymmetric": False}}
    build = partial(quantizers.dynamic, weight_type="QInt8", **asymmetric)
    tool = f"quantize_dynamic(weight_type=QInt8{arguments(asymmetric)})"
    yield derived("ts14-sdpa-dynamic-int8-asymmetric", "ts14-sdpa", build, tool, kind="int8")
    for source in ("ts11-eager-dynamic-int8", "ts14-sdpa-dynamic-int8-channel", "ts14-sdpa-dynamic-uint8"):
        build = partial(optimizers.saved_session, level="all")
        kind = kinds["QUInt8" if "uint8" in source else "QInt8"]
        yield derived(f"{source}-ort-all", source, build, "optimized_model_filepath at ORT_ENABLE_ALL", kind=kind)
    for activation, weight, per_channel in (
        ("QUInt8", "QInt8", False),
        ("QInt8", "QInt8", True),
        ("QUInt8", "QUInt8", False),
    ):
        build = partial(quantizers.static, activation=activation, weight=weight, per_channel=per_channel)
        name = f"ts14-sdpa-qdq-a{kinds[activation]}-w{kinds[weight]}{'-channel' * per_channel}"
        tool = f"quantize_static(QDQ, activation {activation}, weight {weight}, per_channel={per_channel})"
        yield derived(name, "ts14-sdpa", build, tool, kind=kinds[weight])
    for activation, per_channel in (("QUInt8", False), ("QInt8", True)):
        chosen = matmul | {"per_channel": per_channel}
        build = partial(quantizers.static, activation=activation, weight="QInt8", **chosen)
        tool = f"quantize_static(QDQ, activation {activation}, weight QInt8{arguments(chosen)})"
        yield derived(f"ts14-sdpa-qdq-matmul{'-channel' * per_channel}", "ts14-sdpa", build, tool, kind="int8")
    build = partial(quantizers.static, activation="QUInt8", weight="QInt8", form="QOperator")
    tool = "quantize_static(QOperator, activation QUInt8, weight QInt8)"
    yield derived("ts14-sdpa-qoperator", "ts14-sdpa", build, tool, kind="int8")
    build = partial(optimizers.saved_session, level="all")
    for source in ("ts14-sdpa-qdq-auint8-wint8", "ts14-sdpa-qdq-matmul"):
        tool = "optimized_model_filepath at ORT_ENABLE_ALL"
        yield derived(f"{source}-ort-all", source, build, tool, kind="int8")


def arguments(options: dict[str, Any]) -> str:
    """Return options in the form of further arguments of a call."""
    return "".join(f", {name}={value}" for name, value in options.items())


def weight_only() -> Iterator[Form]:
    """Yield graphs with 2-, 4- and 8-bit weights in blocks and floating-point activations."""
    gather = {"op_types_to_quantize": ("MatMul", "Gather")}
    for name, options in {
        "q4-sym-16": {"block_size": 16, "is_symmetric": True},
        "q4-sym-32": {"block_size": 32, "is_symmetric": True},
        "q4-asym-16": {"block_size": 16},
        "q4-asym-32": {"block_size": 32},
        "q4-asym-64": {"block_size": 64},
        "q4-sym-128": {"block_size": 128, "is_symmetric": True},
        "q4-accuracy4": {"block_size": 32, "is_symmetric": True, "accuracy_level": 4},
        "q2-asym-16": {"block_size": 16, "bits": 2},
        "q8-sym-32": {"block_size": 32, "is_symmetric": True, "bits": 8},
        "q8-asym-16": {"block_size": 16, "bits": 8},
    }.items():
        yield blocks(name, "ts14-sdpa", options)
    yield blocks("q4-asym-32", "ts11-eager-pooler", {"block_size": 32})
    for source in ("dynamo21-sdpa", "ts17-sdpa-to21"):
        yield blocks("qdq-q4-sym", source, {"block_size": 16, "is_symmetric": True, "form": "QDQ"})
    yield blocks("qdq-q4-asym", "dynamo21-sdpa", {"block_size": 32, "form": "QDQ"})
    yield blocks("q4-gather-sym", "dynamo21-sdpa", {"block_size": 32, "is_symmetric": True, **gather})
    yield blocks("q4-gather-asym", "ts17-sdpa-to21", {"block_size": 16, **gather})
    channel = {"is_symmetric": True, "channel_wised_quantize": True, "form": "QDQ"}
    yield blocks("qdq-q4-npu", "dynamo21-sdpa", channel)
    for source in ("ts17-sdpa-fp16", "ts14-sdpa-O4", "ts14-sdpa-O2"):
        kind = "4 bit" if source.endswith("O2") else "4 bit, float16"
        yield blocks("q4", source, {"block_size": 32, "is_symmetric": True}, kind)
    build = partial(quantizers.hqq, block_size=32)
    yield derived("ts14-sdpa-q4-hqq", "ts14-sdpa", build, "MatMulNBitsQuantizer(HQQ, block_size=32)", kind="4 bit")
    for kind, size in (("NF4", 64), ("FP4", 64), ("NF4", 16)):
        build = partial(quantizers.bnb4, kind=kind, block_size=size)
        tool = f"MatMulBnb4Quantizer({kind}, {size})"
        yield derived(f"ts14-sdpa-bnb4-{kind.lower()}-{size}", "ts14-sdpa", build, tool, kind=f"4 bit {kind}")


def blocks(name: str, source: str, options: dict[str, Any], kind: str | None = None) -> Form:
    """Return a form with weights quantized in blocks."""
    bits = {2: "2 bit", 8: "8 bit weight-only"}.get(options.get("bits", 4), "4 bit")
    tool = f"MatMulNBitsQuantizer({arguments(options)[2:]})"
    return derived(f"{source}-{name}", source, partial(quantizers.nbits, **options), tool, kind=kind or bits)


def heads() -> Iterator[Form]:
    """Yield classifiers and masked language models, and what the tools make of them."""
    two = tiny.USUAL_INPUTS[:2]
    for model, special in (("reranker", "classifier, one label"), ("masked-lm", "masked language model")):
        yield exported(f"{model}-ts14-sdpa", 14, "sdpa", model=model, special=special)
        yield exported(f"{model}-dynamo20-sdpa", 20, "sdpa", dynamo=True, model=model, special=special)
        roberta = f"{model}-roberta"
        yield exported(f"{roberta}-ts14-sdpa", 14, "sdpa", model=roberta, inputs=two, special=special)
        source = f"{model}-ts14-sdpa"
        build = partial(optimizers.optimum, level="O2", name=model)
        yield derived(f"{source}-O2", source, build, "ORTOptimizer at O2", package="optimum-onnx", special=special)
        build = partial(optimizers.saved_session, level="all")
        yield derived(f"{source}-ort-all", source, build, "optimized_model_filepath at ORT_ENABLE_ALL")
        build = partial(optimizers.halved, keep_io_types=True)
        tool = "transformers.float16.convert_float_to_float16(keep_io_types=True)"
        yield derived(f"{source}-fp16-io", source, build, tool, kind="float16")
        build = partial(quantizers.dynamic, weight_type="QInt8")
        yield derived(f"{source}-dynamic-int8", source, build, "quantize_dynamic(weight_type=QInt8)", kind="int8")
        build = partial(quantizers.dynamic, weight_type="QUInt8", per_channel=True)
        tool = "quantize_dynamic(weight_type=QUInt8, per_channel=True)"
        yield derived(f"{source}-dynamic-uint8-channel", source, build, tool, kind="uint8")
    yield exported("nli-ts17-eager", 17, model="nli", special="classifier, three labels")
    distilbert = "reranker-distilbert"
    yield exported(f"{distilbert}-ts14-sdpa", 14, "sdpa", model=distilbert, inputs=two)
    yield exported("masked-lm-ts17-eager-unfolded", 17, model="masked-lm", fold=False, special="one table, transposed")


def all_forms() -> list[Form]:
    """Return all forms, each after its source, from which it takes the encoder and the outputs."""
    families = (
        plain_exports,
        pooled_exports,
        members,
        relatives,
        optimum_exports,
        simplified,
        fused,
        rewritten,
        by_hand,
        heads,
    )
    forms: dict[str, Form] = {}
    for form in (form for family in (*families, halves, quantized, weight_only) for form in family()):
        if form.source is not None:
            source = forms[form.source]
            same = {key: getattr(source, key) for key in ("model", "pooler", "pooling", "normalize", "transformers")}
            form = dataclasses.replace(form, **same)
        if form.name in forms:
            raise ValueError(f"two forms have the name {form.name}")
        forms[form.name] = form
    return list(forms.values())
