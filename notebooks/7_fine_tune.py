# %% [markdown]
# # Fine-tune on your own pairs
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/7_fine_tune.ipynb)
#
# An encoder that was trained on the internet does not know the words of your team. Here, a shop uses code names for its
# products. A few dozen pairs teach them to all-MiniLM-L6-v2, in a few minutes on a CPU, and the result goes back into an
# ONNX file.

# %%
# Install the packages that are missing, for example on Colab. An installed jax keeps its version.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

PACKAGES = {
    "minilm_jax": "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax",
    "matplotlib": "matplotlib",
    "onnxruntime": "onnxruntime",
}
missing = [source for module, source in PACKAGES.items() if importlib.util.find_spec(module) is None]
if missing:
    pins = [f"jax=={version('jax')}"] if importlib.util.find_spec("jax") else []
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing, *pins], check=True)

# %%
import json
import tempfile
from pathlib import Path

import numpy as np

import minilm_jax as mj
from minilm_jax import plot
from minilm_jax.training import TrainingOptions, train

encoder = mj.SentenceEncoder()
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The data
#
# Every product has a code name and a description. The pairs combine sentences about the code name with sentences about
# the product; two sentences per product are kept for the test.

# %%
PRODUCTS = {
    "Otter": ("waterproof jacket for hiking in the rain", "rain jacket"),
    "Lantern": ("lamp for the desk with warm light", "desk lamp"),
    "Basil": ("knife for cutting vegetables", "kitchen knife"),
    "Comet": ("light bicycle for commuting", "city bike"),
    "Willow": ("blanket of soft wool", "wool blanket"),
    "Anchor": ("heavy pan of cast iron", "iron pan"),
    "Pebble": ("small speaker for music in the bathroom", "shower speaker"),
    "Falcon": ("headphones that block noise on a plane", "noise-cancelling headphones"),
    "Maple": ("wooden chair for the dining table", "dining chair"),
    "Ember": ("electric heater for cold rooms", "room heater"),
    "Harbor": ("large backpack for long trips", "travel backpack"),
    "Quartz": ("watch with a steel strap", "wristwatch"),
}
TRAIN = ("My {} arrived broken.", "How do I clean the {}?", "Is the {} available in blue?", "I want to return my {}.")
TEST = ("Where can I buy the {}?", "The {} was a present.")

rows = [
    {"anchor": question.format(name), "positive": question.format(words)}
    for name, product in PRODUCTS.items()
    for question in TRAIN
    for words in product
]
data = folder / "pairs.jsonl"
data.write_text("".join(json.dumps(row) + "\n" for row in rows))
print(len(rows), "pairs, such as", rows[0])

# %% [markdown]
# ## Before
#
# The score is the share of test questions with a code name whose nearest product is the right one.

# %%
descriptions = [description for description, _ in PRODUCTS.values()]
questions = [question.format(name) for name in PRODUCTS for question in TEST]
answers = np.repeat(np.arange(len(PRODUCTS)), len(TEST))


def accuracy(model):
    """Return the share of questions whose nearest description is that of the product."""
    scores = model.similarity(model.encode(questions), model.encode(descriptions))
    return float((np.asarray(scores).argmax(axis=1) == answers).mean())


def neighbours(model, question):
    """Print the three nearest descriptions of a question."""
    scores = np.asarray(model.similarity(model.encode([question]), model.encode(descriptions)))[0]
    for index in scores.argsort()[::-1][:3]:
        print(f"{scores[index]:6.2f}  {descriptions[index]}")


before = accuracy(encoder)
print(f"{before:.0%} of the test questions")
neighbours(encoder, "Where can I buy the Ember?")

# %% [markdown]
# ## Train
#
# Pairs without labels are trained with in-batch negatives: the descriptions of the other rows are the wrong answers. Equal
# texts in a batch are left out of the loss. The embedding table is frozen, which saves most of the optimizer's memory.

# %%
options = TrainingOptions(
    epochs=12, batch_size=32, learning_rate=1e-4, freeze=("embeddings.*",), evaluations=3, log_steps=2
)
result = train(encoder, data, options=options, evaluator=accuracy, output_dir=folder / "model")
after = result.after["score"]
print(f"{result.steps} steps: {before:.0%} → {after:.0%}")
assert after >= before + 0.3

# %%
plot.training(result.log)

# %% [markdown]
# ## After
#
# The neighbours of the code name are now the right ones. Other sentences keep their meaning: the similarities of unrelated
# pairs hardly change.

# %%
neighbours(result.model, "Where can I buy the Ember?")
general = ["The cat sits outside.", "A kitten is in the garden.", "The central bank raised rates."]
for model in (encoder, result.model):
    vectors = model.encode(general)
    print(np.round(vectors @ vectors.T, 2).tolist())
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2

# %% [markdown]
# ## Interrupt and continue
#
# The folder contains the model, a model card, the log and the checkpoints. The same call continues at the last checkpoint;
# a finished run has nothing left to do and gives the same weights.

# %%
again = train(encoder, data, options=options, evaluator=accuracy, output_dir=folder / "model")
np.testing.assert_array_equal(again.model.encode(general), result.model.encode(general))
print((folder / "model" / "README.md").read_text()[-300:])

# %% [markdown]
# ## Back to ONNX
#
# `to_onnx` writes the trained weights as an ONNX file, which gives the same vectors in onnxruntime. To keep the graph of
# an ONNX file that you deploy already, run `python -m convert flax_to_onnx FOLDER --like model.onnx --out new.onnx`.

# %%
import onnx
import onnxruntime

from convert.flax_to_onnx import to_onnx

onnx.save(to_onnx(result.model.params, result.model.config), folder / "fine-tuned.onnx")
session = onnxruntime.InferenceSession(folder / "fine-tuned.onnx", providers=["CPUExecutionProvider"])
inputs = {name: np.asarray(values, np.int64) for name, values in encoder.tokenize(general).items()}
hidden = session.run(None, inputs)[0]
mask = inputs["attention_mask"][..., None]
vectors = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
np.testing.assert_allclose(vectors, result.model.encode(general), atol=1e-5)
print("onnxruntime gives the same vectors")
