"""The public functions as compiled programs, for tests where eager evaluation is not the subject.

An eager call compiles every operation of the model for every shape, which takes several times as long.
"""

import jax

import minilm_jax as mj
from minilm_jax.explain import attention_weights as _attention_weights

embed = jax.jit(mj.embed)
encode = jax.jit(mj.encode, static_argnames="output_hidden_states")
attention_weights = jax.jit(_attention_weights, static_argnames="layer")
