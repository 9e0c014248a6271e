"""A small WordPiece tokenizer.json file, which tests write with one value changed."""

import copy
import json
from pathlib import Path
from typing import Any

WORDS = {word: i for i, word in enumerate("[PAD] [UNK] [CLS] [SEP] a b ##c hello world".split())}
CLS, TEXT, SEP = (
    {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
)
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [CLS, TEXT, SEP],
        "pair": [TEXT, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [WORDS[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")},
    },
    "decoder": None,
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": WORDS,
    },
}


def write_tokenizer(folder: Path, place: str = "version", value: Any = "1.0") -> Path:
    """Write tokenizer.json with the value at one key path, such as `model.vocab`, replaced; return its path."""
    changed = copy.deepcopy(TOKENIZER)
    *parents, last = place.split(".")
    node: Any = changed
    for parent in parents:
        node = node[parent]
    node[last] = value
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(changed), "utf-8")
    return path
