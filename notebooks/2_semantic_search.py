# %% [markdown]
# # Semantic search over the documentation of Python
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/2_semantic_search.ipynb)
#
# Which function of the standard library does what I need? A keyword search finds it only if the query uses the words of the
# documentation. Semantic search compares vectors instead. The corpus is part of every Python installation: the docstrings
# of functions and classes.

# %%
# Install the packages that are missing, for example on Colab. An installed jax keeps its version.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

PACKAGES = {
    "minilm_jax": "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax",
    "matplotlib": "matplotlib",
}
missing = [source for module, source in PACKAGES.items() if importlib.util.find_spec(module) is None]
if missing:
    pins = [f"jax=={version('jax')}"] if importlib.util.find_spec("jax") else []
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing, *pins], check=True)

# %% [markdown]
# ## The corpus
#
# The corpus has one text per public function or class of some modules: the first paragraph of its docstring.

# %%
import importlib
import inspect

import numpy as np

import minilm_jax as mj
from minilm_jax import plot, search
from minilm_jax.explain import word_contributions

MODULES = """
    base64 bisect calendar csv datetime difflib fnmatch fractions ftplib glob gzip hashlib heapq html imaplib ipaddress
    itertools json locale logging math operator os.path pathlib poplib random secrets shlex shutil smtplib socket sqlite3
    ssl statistics string tarfile tempfile textwrap threading timeit unicodedata urllib.parse uuid wave webbrowser zipfile
""".split()


def documented(module):
    """Yield the public names of a module with the first paragraphs of their docstrings."""
    found = importlib.import_module(module)
    for name in sorted(getattr(found, "__all__", vars(found))):
        member = getattr(found, name)
        paragraph = inspect.cleandoc(member.__doc__ or "").split("\n\n")[0]
        # Docstrings that begin with a signature are left out.
        if callable(member) and not name.startswith("_") and len(paragraph) > 20 and "(" not in paragraph[:30]:
            yield f"{module}.{name}", " ".join(paragraph.split())


names, texts = zip(*(entry for module in MODULES for entry in documented(module)), strict=True)
print(f"{len(texts)} texts from {len(MODULES)} modules, for example:\n{names[0]}: {texts[0]}")

# %% [markdown]
# ## Index and search
#
# `SearchIndex.build` embeds the texts once. `search` embeds the query and returns the texts with the most similar vectors.
# The search is exact.

# %%
encoder = mj.SentenceEncoder.from_pretrained()
index = search.SearchIndex.build(encoder, texts, show_progress_bar=False)


def find(query, top_k=3):
    """Print the results of a query and return their names."""
    hits = index.search(query, top_k)
    print(query)
    for hit in hits:
        print(f"  {hit['score']:.2f}  {names[hit['corpus_id']]:32} {hit['text'][:70]}")
    return [names[hit["corpus_id"]] for hit in hits]


assert "math.cbrt" in find("third root of a number")
assert "shutil.disk_usage" in find("how much free space does my drive have")
assert "random.shuffle" in find("put the cards of a deck in a random order")
assert "textwrap.dedent" in find("take the spaces away that all lines begin with")

# %% [markdown]
# The results contain almost none of the words in the queries. Which words make two texts similar, then? Gradients of the
# cosine answer this: they give the contribution of each word.

# %%
query = "how much free space does my drive have"
hit = index.search(query, 1)[0]
plot.saliency(encoder, query, hit["text"])

best = max(word_contributions(encoder, query, hit["text"]), key=lambda word: word.contribution)
print("word with the largest contribution:", best.word)
assert best.word in {"space", "drive"}

# %% [markdown]
# `semantic_search` takes many queries at once and computes their similarities in chunks, as matrix products. Here every text
# is a query too, and finds itself first.

# %%
hits = search.semantic_search(index.vectors, index.vectors, top_k=2)
found = np.array([texts[first["corpus_id"]] == text for (first, _), text in zip(hits, texts, strict=True)])
print(f"{found.mean():.0%} of the texts find themselves")
assert found.all()

# %% [markdown]
# ## A map
#
# The map projects the vectors onto their first two principal components. Functions with similar purposes are close together.
# Labels that would overlap are left out.

# %%
shown = ("math", "statistics", "random", "os.path", "shutil", "socket", "ssl", "calendar", "datetime", "textwrap")
modules = [name.rpartition(".")[0] for name in names]
chosen = [i for i, module in enumerate(modules) if module in shown]
vectors = index.vectors
ax = plot.corpus_map(
    vectors[chosen], [names[i].rpartition(".")[2] for i in chosen], groups=[modules[i] for i in chosen]
)

# %% [markdown]
# The vectors confirm the impression of the map: on average, functions of the same module are more similar than functions of
# different modules.

# %%
same = np.array([[a == b for b in modules] for a in modules]) & ~np.eye(len(modules), dtype=bool)
other = ~same & ~np.eye(len(modules), dtype=bool)
similarity = np.asarray(search.cos_sim(vectors, vectors))
print(f"mean cosine: {similarity[same].mean():.2f} within a module, {similarity[other].mean():.2f} between modules")
assert similarity[same].mean() > similarity[other].mean() + 0.1

# %% [markdown]
# ## Groups and near duplicates
#
# `community_detection` finds groups of similar texts; the number of groups need not be known. `paraphrase_mining_embeddings`
# returns the most similar pairs.

# %%
groups = search.community_detection(vectors, threshold=0.6, min_community_size=4)
for group in groups[:6]:
    print(f"{len(group):3}  {', '.join(names[i] for i in group[:5])}")
assert all((similarity[group[0], group] > 0.6 - 1e-5).all() for group in groups)

# %%
pairs = search.paraphrase_mining_embeddings(vectors)
alike = [(score, i, j) for score, i, j in pairs if texts[i] != texts[j] and modules[i] != modules[j]][:5]
for score, i, j in alike:
    print(f"{score:.2f}  {names[i]} and {names[j]}\n      {texts[i][:90]}\n      {texts[j][:90]}")
scores = [score for score, _, _ in pairs]
assert scores == sorted(scores, reverse=True)

# %% [markdown]
# A heat map shows the similarities of a few texts. The central texts of the first groups differ from each other.

# %%
centers = [group[0] for group in groups[:8]]
between = similarity[np.ix_(centers, centers)]
ax = plot.similarity_heatmap(between, [names[i] for i in centers])
assert between[~np.eye(len(centers), dtype=bool)].max() < 0.6

# %% [markdown]
# ## Smaller vectors
#
# A binary vector keeps one bit per dimension and is 32 times smaller than float32. `semantic_search_binary` first finds
# candidates by Hamming distance, four times as many as requested, and then rescores them with the float32 query. Most
# results of the exact search remain.

# %%
queries = encoder.encode(
    [
        "write a file that disappears afterwards",
        "send a mail",
        "largest items of a list",
        "random password",
        "is it a leap year",
    ]
)
exact = [{hit["corpus_id"] for hit in row} for row in search.semantic_search(queries, vectors, top_k=5)]
bits = search.quantize_embeddings(vectors, "ubinary")
print(f"{vectors.nbytes // bits.nbytes} times smaller")
assert vectors.nbytes == 32 * bits.nbytes
found = [
    {hit["corpus_id"] for hit in row}
    for row in search.semantic_search_binary(queries, bits, top_k=5, rescore_multiplier=4)
]
kept = np.mean([len(a & b) / 5 for a, b in zip(exact, found, strict=True)])
print(f"{kept:.0%} of the five nearest texts are found")
assert kept >= 0.6
