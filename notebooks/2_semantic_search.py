# %% [markdown]
# # Semantic search over the documentation of Python
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/2_semantic_search.ipynb)
#
# Which function of the standard library does what I want? A search by words has to guess the words. A search by meaning
# compares vectors. The corpus is text that every Python brings along: what its functions and classes say of themselves.

# %%
# Installs minilm-jax where it is missing, as on Colab, and leaves the jax that is there as it is.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("minilm_jax") is None:
    source = "minilm-jax[plot,verify] @ git+https://github.com/OWNER/minilm-jax"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source, f"jax=={version('jax')}"], check=True)

# %% [markdown]
# ## The corpus
#
# One text for each public function and class of some modules: its name and the first paragraph of its docstring.

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
    """Yields the public names of a module with the first paragraph of what they say of themselves."""
    found = importlib.import_module(module)
    for name in sorted(getattr(found, "__all__", vars(found))):
        member = getattr(found, name)
        paragraph = inspect.cleandoc(member.__doc__ or "").split("\n\n")[0]
        # Some begin with their signature, which says little.
        if callable(member) and not name.startswith("_") and len(paragraph) > 20 and "(" not in paragraph[:30]:
            yield f"{module}.{name}", " ".join(paragraph.split())


names, texts = zip(*(entry for module in MODULES for entry in documented(module)), strict=True)
print(f"{len(texts)} texts of {len(MODULES)} modules, for example:\n{names[0]}: {texts[0]}")

# %% [markdown]
# ## Index and search
#
# A `SearchIndex` embeds the texts once. A query is embedded in the same way, and the nearest vectors are found exactly.

# %%
encoder = mj.SentenceEncoder.from_pretrained()
index = search.SearchIndex.build(encoder, texts, show_progress_bar=False)


def find(query, top_k=3):
    """Prints and returns what a query finds."""
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
# Hardly a word of these queries stands in what was found. Which words made the match, then? The gradients of the cosine
# tell.

# %%
query = "how much free space does my drive have"
hit = index.search(query, 1)[0]
plot.saliency(encoder, query, hit["text"])

best = max(word_contributions(encoder, query, hit["text"]), key=lambda word: word.contribution)
print("the word that matters most:", best.word)
assert best.word in {"space", "drive"}

# %% [markdown]
# Many queries at once are one matrix product, a chunk at a time. Every text asks for itself here, and finds itself first.

# %%
hits = search.semantic_search(index.vectors, index.vectors, top_k=2)
found = np.array([texts[first["corpus_id"]] == text for (first, _), text in zip(hits, texts, strict=True)])
print(f"{found.mean():.0%} of the texts find themselves")
assert found.all()

# %% [markdown]
# ## A map
#
# The 384 dimensions are projected on the two along which the texts differ most. Modules that deal with similar things lie
# close together. Labels are left out where they would cover each other.

# %%
shown = ("math", "statistics", "random", "os.path", "shutil", "socket", "ssl", "calendar", "datetime", "textwrap")
modules = [name.rpartition(".")[0] for name in names]
chosen = [i for i, module in enumerate(modules) if module in shown]
vectors = index.vectors
ax = plot.corpus_map(
    vectors[chosen], [names[i].rpartition(".")[2] for i in chosen], groups=[modules[i] for i in chosen]
)

# %% [markdown]
# Is the map right about it? On average a function is nearer to those of its own module than to those of others.

# %%
same = np.array([[a == b for b in modules] for a in modules]) & ~np.eye(len(modules), dtype=bool)
other = ~same & ~np.eye(len(modules), dtype=bool)
similarity = np.asarray(search.cos_sim(vectors, vectors))
print(f"mean cosine within a module {similarity[same].mean():.2f}, between modules {similarity[other].mean():.2f}")
assert similarity[same].mean() > similarity[other].mean() + 0.1

# %% [markdown]
# ## Groups, and things said twice
#
# `community_detection` finds groups of texts without being told how many there are. `paraphrase_mining_embeddings` finds the
# pairs that are most alike.

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

# %% [markdown]
# A heat map shows a handful of texts at once. Here are the centres of the first groups: they have little in common.

# %%
centres = [group[0] for group in groups[:8]]
ax = plot.similarity_heatmap(similarity[np.ix_(centres, centres)], [names[i] for i in centres])

# %% [markdown]
# ## Smaller vectors
#
# One bit for each dimension is 32 times smaller. Binary vectors find most of what the full ones find; looking at a few more
# of them, and comparing those in full, finds nearly all.

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
print(f"of the five nearest, {kept:.0%} are found")
assert kept >= 0.6
