"""Plots of texts and their vectors; each is one call that returns the matplotlib Axes (extra `minilm-jax[plot]`)."""

from minilm_jax.plot.attention import attention_map as attention_map
from minilm_jax.plot.corpus import corpus_map as corpus_map
from minilm_jax.plot.heatmap import similarity_heatmap as similarity_heatmap
from minilm_jax.plot.saliency import saliency as saliency
from minilm_jax.plot.training import training as training
