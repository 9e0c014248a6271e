# %% [markdown]
# # Retrieve, fuse, rerank, explain
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/minilm-jax/blob/main/notebooks/6_rerank.ipynb)
#
# Dense vectors find texts with the same meaning, sparse ones texts with the same words and related ones. A cross-encoder then
# reads the query with each of the best texts of both, and sorts them. For each step, this notebook shows which words led to the
# result.

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
# ## Questions and answers
#
# A docstring begins with one line that says what a function does, and the details follow. Here, the first line is a query, and the
# rest of the same docstring is the text to find.

# %%
import importlib
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minilm_jax as mj
from minilm_jax import plot, search

MODULES = """
    argparse bisect calendar collections contextlib copy csv datetime decimal difflib email.message fractions gzip heapq
    http.client inspect ipaddress json logging mailbox math os pathlib pickle random shutil smtplib socket sqlite3 ssl
    statistics string tarfile tempfile textwrap threading traceback typing unittest urllib.request uuid weakref zipfile
""".split()


def docstrings(module):
    """Yield the docstrings of the public functions and methods of a module."""
    found = importlib.import_module(module)
    for owner in [found, *(value for _, value in inspect.getmembers(found, inspect.isclass))]:
        for name, value in inspect.getmembers(owner):
            if callable(value) and not name.startswith("_"):
                yield inspect.getdoc(value) or ""


pairs = {}
for text in (text for module in MODULES for text in docstrings(module)):
    first, _, rest = (" ".join(part.split()) for part in text.partition("\n\n"))
    if len(first.split()) in range(5, 26) and len(rest.split()) >= 10 and rest not in pairs.values():
        pairs.setdefault(first, " ".join(rest.split()[:80]))
queries, texts = list(pairs), list(pairs.values())
print(f"{len(queries)} queries, for example:\n{queries[3]}\n  {texts[3]}")

# %% [markdown]
# ## Retrieve
#
# `semantic_search` compares dense vectors by their cosine, `semantic_search_sparse` sparse ones by their dot product.
# `reciprocal_rank_fusion` needs only the ranks, so the two kinds of scores do not have to be comparable.

# %%
dense_model, sparse_model = mj.SentenceEncoder(), mj.SparseEncoder()
dense = search.semantic_search(dense_model.encode(queries), dense_model.encode(texts), top_k=100)
sparse_vectors = sparse_model.encode_document(texts)
sparse = search.semantic_search_sparse(sparse_model.encode_query(queries), sparse_vectors, top_k=100)
fused = search.reciprocal_rank_fusion([dense, sparse])


def reciprocal_rank(hits, wanted):
    """Return 1 / rank of the wanted text among the first ten, or 0."""
    ranks = [rank for rank, hit in enumerate(hits[:10], start=1) if hit["corpus_id"] == wanted]
    return 1 / ranks[0] if ranks else 0


def is_found(hits, wanted, count=20):
    """Return whether the wanted text is among the first hits."""
    return wanted in [hit["corpus_id"] for hit in hits[:count]]


for name, results in {"dense": dense, "sparse": sparse, "fused": fused}.items():
    rank = np.mean([reciprocal_rank(hits, wanted) for wanted, hits in enumerate(results)])
    share = np.mean([is_found(hits, wanted) for wanted, hits in enumerate(results)])
    print(f"{name:6}  mean reciprocal rank {rank:.3f}, among the first 20: {share:.1%}")
of_dense = np.array([is_found(hits, wanted) for wanted, hits in enumerate(dense)])
of_sparse = np.array([is_found(hits, wanted) for wanted, hits in enumerate(sparse)])
print(f"among the first 20 of either: {(of_dense | of_sparse).mean():.1%}")
assert (of_dense | of_sparse).mean() > of_dense.mean() > of_sparse.mean()

# %% [markdown]
# This sparse model has only two layers, and is weaker here than the dense one. Fusion trusts both equally, so it does not improve
# the order; it does where both are about as good, as on [SciFact](../docs/reranking.md). But the sparse search finds texts that the
# dense one misses, and a reranker can use the best of both.

# %% [markdown]
# ## Explain a sparse score
#
# The score of a query and a text is a sum over the tokens of the vocabulary that both have: the product of their weights. The
# tokens include words that neither of them contains.

# %%
# The query for which the sparse search is better than the dense one by most, without code in the text.
better = [reciprocal_rank(s, i) - reciprocal_rank(d, i) for i, (d, s) in enumerate(zip(dense, sparse, strict=True))]
chosen = int(np.argmax([-1 if ">>>" in text else gain for text, gain in zip(texts, better, strict=True)]))
query, text = queries[chosen], texts[chosen]
products = sparse_model.encode_query(query).multiply(sparse_vectors[[chosen]]).tocsr()
[shares] = sparse_model.decode(products, top_k=12)
print(f"query: {query}\ntext:  {text}")

figure, axes = plt.subplots(figsize=(7, 3.2))
tokens, values = zip(*shares, strict=True)
axes.barh(tokens[::-1], values[::-1], color="#3b6ea5")
axes.set(xlabel="contribution to the score", title=f"Score {products.sum():.1f}: the 12 tokens that contribute most")
figure.tight_layout()
assert abs(products.sum() - sparse_model.similarity(sparse_model.encode_query(query), sparse_vectors[[chosen]])) < 1e-3

# %% [markdown]
# ## Rerank
#
# A cross-encoder reads both texts at once. It is too slow for all pairs, so it gets the first 20 results of each search. This model
# was trained on questions to a search engine. It is downloaded from the Hugging Face hub; without a connection, the cells that need
# it do nothing.

# %%
try:
    reranker = mj.CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2")
except mj.ModelFileError:
    reranker = None
    print("The cross-encoder cannot be downloaded here.")

# %%
if reranker is not None:
    sample = range(0, len(queries), 10)
    before, after = [], []
    for index in sample:
        candidates = sorted({hit["corpus_id"] for hit in dense[index][:20] + sparse[index][:20]})
        ranked = reranker.rank(queries[index], [texts[id] for id in candidates])
        before.append(reciprocal_rank(dense[index], index))
        after.append(reciprocal_rank([{"corpus_id": candidates[hit["corpus_id"]]} for hit in ranked], index))
    print(f"{len(sample)} queries: mean reciprocal rank {np.mean(before):.3f} dense, {np.mean(after):.3f} reranked")

# %% [markdown]
# ## Explain a pair
#
# Which words made a text match? For the dense encoder, gradients of the cosine give the contribution of each word; for the
# cross-encoder, gradients of its score. The contributions of a text add up to the difference that its words make.

# %%
plot.saliency(dense_model, query, text)

# %%
if reranker is not None:
    plot.saliency(reranker, query, text)
