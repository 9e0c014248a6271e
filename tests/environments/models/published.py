"""Configs of published models, and folders with these configs and random weights."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel

_BERT = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 0}
_MINILM = {**_BERT, "vocab_size": 30_522, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1_536}
_BASE = {**_BERT, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3_072, "num_hidden_layers": 12}
_ROBERTA = {**_BASE, "layer_norm_eps": 1e-5, "type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 514}
_DISTIL = {
    "model_type": "distilbert",
    "dim": 768,
    "hidden_dim": 3_072,
    "n_heads": 12,
    "n_layers": 6,
    "activation": "gelu",
}


class Published(NamedTuple):
    """A published model.

    Attributes:
        config: Its `config.json`.
        pooling: The switch of its Pooling module.
        dense: Dimensions of its Dense module, or None.
        normalize: Whether it has a Normalize module.
        graph: Whether its ONNX export is tested too.
        prompts: The prompts of queries and passages that its authors recommend.
    """

    config: Mapping[str, Any]
    pooling: str = "pooling_mode_mean_tokens"
    dense: int | None = None
    normalize: bool = True
    graph: bool = False
    prompts: str = ""


_CLS = "pooling_mode_cls_token"
_E5 = "`query: `, `passage: `"
_SEARCH = "`Represent this sentence for searching relevant passages: `, none"
PUBLISHED = {
    "sentence-transformers/all-MiniLM-L12-v2": Published({**_MINILM, "num_hidden_layers": 12}),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": Published({**_MINILM, "num_hidden_layers": 3}, normalize=False),
    "BAAI/bge-small-en-v1.5": Published({**_MINILM, "num_hidden_layers": 12}, _CLS, graph=True, prompts=_SEARCH),
    "Snowflake/snowflake-arctic-embed-xs": Published({**_MINILM, "num_hidden_layers": 6}, _CLS, prompts=_SEARCH),
    "intfloat/e5-small-v2": Published({**_MINILM, "num_hidden_layers": 12}, prompts=_E5),
    "thenlper/gte-small": Published({**_MINILM, "num_hidden_layers": 12}),
    "BAAI/bge-base-en-v1.5": Published({**_BASE, "vocab_size": 30_522}, _CLS, prompts=_SEARCH),
    "intfloat/multilingual-e5-small": Published(
        {**_MINILM, "vocab_size": 250_037, "num_hidden_layers": 12}, prompts=_E5
    ),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": Published(
        {**_MINILM, "vocab_size": 250_037, "num_hidden_layers": 12}, normalize=False
    ),
    "sentence-transformers/LaBSE": Published({**_BASE, "vocab_size": 501_153}, _CLS, dense=768),
    "sentence-transformers/all-distilroberta-v1": Published(
        {**_ROBERTA, "model_type": "roberta", "vocab_size": 50_265, "num_hidden_layers": 6}, graph=True
    ),
    "intfloat/multilingual-e5-base": Published(
        {**_ROBERTA, "model_type": "xlm-roberta", "vocab_size": 250_002}, prompts=_E5
    ),
    "sentence-transformers/multi-qa-distilbert-cos-v1": Published({**_DISTIL, "vocab_size": 30_522}, graph=True),
    "sentence-transformers/distiluse-base-multilingual-cased-v2": Published(
        {**_DISTIL, "vocab_size": 119_547}, dense=512, normalize=False
    ),
}


def write_folder(folder: Path, published: Published) -> torch.nn.Module:
    """Write a model folder with random weights, and return the transformer of transformers.

    Every weight affects the result: no bias is 0, and no scale is 1.
    """
    torch.manual_seed(0)
    values = dict(published.config)
    network = AutoModel.from_config(AutoConfig.for_model(values.pop("model_type"), **values)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    _write_modules(folder, published, network.config.hidden_size)
    write_tokenizer(folder, published)
    return network


def _write_modules(folder: Path, published: Published, width: int) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, published.pooling: True})
    if published.dense:
        modules.append(("2_Dense", "Dense"))
        activation = "torch.nn.modules.activation.Tanh"
        settings = {"in_features": width, "out_features": published.dense, "bias": True}
        _write_json(folder / "2_Dense" / "config.json", {**settings, "activation_function": activation})
        dense = torch.nn.Linear(width, published.dense).state_dict()
        tensors = {f"linear.{name}": tensor.numpy() for name, tensor in dense.items()}
        save_file(tensors, folder / "2_Dense" / "model.safetensors")
    if published.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    _write_json(folder / "modules.json", entries)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})


def write_tokenizer(folder: Path, published: Published) -> None:
    """Write a small tokenizer of the kind that the model has: WordPiece, byte-level BPE, or Unigram."""
    texts = [
        f"{first} {second}"
        for first in "the a cat dog runs sleeps Katze 猫 über".split()
        for second in "ab cd ing".split()
    ]
    kind = published.config["model_type"]
    is_unigram = kind == "xlm-roberta" or published.config["vocab_size"] == 250_037
    if is_unigram:
        tokenizer = _unigram(texts)
    elif kind == "roberta":
        tokenizer = _byte_level(texts)
    else:
        tokenizer = _word_piece(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = (
        ("<s>", "</s>", "<pad>", "<unk>") if is_unigram or kind == "roberta" else ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
    )
    names = dict(zip(("cls_token", "sep_token", "pad_token", "unk_token"), special, strict=True))
    inputs = ["input_ids", "attention_mask"] + ["token_type_ids"] * (kind == "bert")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "model_input_names": inputs}
    _write_json(folder / "tokenizer_config.json", {**settings, **names})


def _word_piece(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    return _wrapped(tokenizer, "[CLS]", "[SEP]")


def _byte_level(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer, "<s>", "</s>")


def _unigram(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer, "<s>", "</s>")


def _wrapped(tokenizer: Tokenizer, start: str, end: str) -> Tokenizer:
    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end)]
    pair = f"{start} $A {end} $B:1 {end}:1" if start == "[CLS]" else f"{start} $A {end} {end} $B {end}"
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", pair=pair, special_tokens=ids)
    return tokenizer


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), "utf-8")
