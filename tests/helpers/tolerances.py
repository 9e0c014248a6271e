"""Tolerances of the tests, each with the reason for its size. None may be relaxed to make a test pass.

All are absolute, unless the name says otherwise. The order of float32 sums changes with the shape of a batch, its
padding, the number of devices and the implementation; "reordered" means this below.
"""

import jax

from minilm_jax.config import Precision

# Cosines and components of unit vectors, reordered: sums of a few hundred products well under 1.
UNIT_VECTORS = 1e-6
# Elements of token vectors and of sentence vectors that are not scaled to unit length, reordered: terms up to 10.
TOKEN_VECTORS = 1e-5
# Elements of an attention output, compared with the formula in numpy.
ATTENTION_FORMULA = 2e-6
# The norm of a unit vector.
UNIT_NORM = 1e-6
# Losses near 1 and their gradients, reordered, also over the devices of a mesh.
REORDERED_LOSSES = 1e-6
# Losses in float32 compared with float64 (relative).
FLOAT32_LOSSES = 2e-6
# Gradients in float64: central differences with steps of 1e-5 leave an error of about 1e-9.
FINITE_DIFFERENCES = 1e-6

# In jaxlib 0.7, the oldest allowed, XLA's CPU matrix products are three times further from float64 than today.
_OLD_PRODUCTS = 1 if jax.__version_info__ >= (0, 10) else 3
# Hidden states: reordered sums of 384 to 1,536 terms of size 1 to 10. torch itself is up to 1.4e-5 from float64.
GOLDEN_HIDDEN_STATES = 1e-5 * _OLD_PRODUCTS
# Unit vectors and tanh outputs: reordered sums of terms well under 1.
GOLDEN_VECTORS = 1e-6 * _OLD_PRODUCTS
# Reference values printed with four decimals, and with five decimals, some of them truncated and not rounded.
FOUR_DECIMALS = 5e-5
FIVE_DECIMALS_TRUNCATED = 1e-5
# Values printed with six decimals: half a unit of the last decimal, and reordered float32 sums.
SIX_DECIMALS = 2e-6
# float64 values that were stored as float32: half a unit in the last place (relative), and a little near zero.
STORED_FLOAT64_RELATIVE = 2**-24
STORED_FLOAT64 = 1e-9

# Distance of a unit vector from its golden one, by precision. The largest measured on a CPU over all golden texts were
# 2e-6 in float32 (order of sums), 0.012 in bfloat16, 0.0015 in float16, and 0.10 in int8 (rounding).
GOLDEN_DISTANCE: dict[Precision, float] = {"float32": 4e-6, "bfloat16": 0.018, "float16": 0.0022, "int8": 0.15}
# Smallest and mean cosine with float32 over the golden texts, many of which are unusual on purpose. Measured: bfloat16
# 0.99994 and 0.99998, float16 0.9999992 and 0.9999998, int8 0.9907 and 0.9976 (0.9970 and 0.9990 on 2,000 sentences of
# English documentation).
FLOAT32_COSINES: dict[Precision, tuple[float, float]] = {
    "bfloat16": (0.9999, 0.99995),
    "float16": (0.999999, 0.999999),
    "int8": (0.985, 0.997),
}
# Smallest cosine of a text's vectors from two batches: another shape reorders float32 sums, and a value between two
# levels may then be rounded to the other one.
OTHER_BATCH_COSINE: dict[Precision, float] = {"bfloat16": 0.9999, "float16": 0.999999, "int8": 0.999}
# Smallest cosine with float32 over a few golden texts in the forms of params that accelerators compute with.
ACCELERATOR_COSINE: dict[Precision, float] = {"bfloat16": 0.9999, "float16": 0.999999, "int8": 0.995}
# Additional loss of cosine because unit vectors are rounded to 16 bits for the copy from an accelerator.
COPY_IN_16_BITS = 2e-4
# Smallest cosine with float32 of a tiny model in bfloat16 or int8.
TINY_COSINE = 0.999
# One int8 dense layer of a tiny model, compared with float32.
INT8_DENSE = 0.02

# Dot products and distances of vectors with about 24 components near 1, float32 compared with float64.
SHORT_VECTOR_SCORES = 1e-5
# Sums of up to 16 components of float queries, in another order.
RESCORED_BINARY = 1e-5
# Distances between 50 points of a plane after a rotation in float32; the coordinates are up to about 15.
MAP_DISTANCES = 1e-4
# Attention weights, at most 1: their sum over tokens, their mean over heads, and their values in a compiled program.
ATTENTION_WEIGHTS = 1e-6
# Output of one attention layer, whose values are mixed in another order than in the model.
ATTENTION_OUTPUT = 1e-5
# Attention weights of a tiny int8 model compared with float32.
ATTENTION_WEIGHTS_INT8 = 0.05
# Contributions of words: an integral in 32 steps, and a sum of about ten contributions.
CONTRIBUTION_SUM = 2e-3
# Smallest cosine of an int8 vector with the float32 vector of the same text.
MIN_INT8_COSINE = 0.99
# Unit vectors from other runtimes, one of which pads all texts to 256 tokens.
OTHER_RUNTIME_VECTORS = 1e-5
# Scores of vectors with 384 components, float32 sums in another order than in torch.
TORCH_SCORES = 1e-5
# torch computes distances from dot products, which loses digits where vectors are near each other.
TORCH_DISTANCES = 1e-3
# Manhattan distances of about 20, each a sum of 384 differences.
TORCH_MANHATTAN = 2e-5
# Losses of vectors of length 5, and their gradients, float32 sums in another order than in torch.
TORCH_LOSSES = 1e-5
# Fraction of int8 levels that can be off by one, because the float32 vectors differ by 1e-7.
INT8_LEVELS_OFF_BY_ONE = 1e-3

# Outputs of the real model in two float32 runtimes; the largest difference measured was about 3e-6.
RUNTIMES_AGREE = 1e-5
# Relative error of a weight that a tool multiplied by a scale and the converter divides by it: one rounding each.
FOLDED_SCALE_RTOL = 1e-6
# Relative error of a value that was divided and multiplied by the same scale.
ROUND_TRIP_RTOL = 1e-6
# Weights with a zero point that is not an integer: onnxruntime multiplies before it subtracts.
FLOAT_ZERO_POINT = 2e-7
# Weights in float16: the converter of onnxruntime replaces values closer to zero than 1e-7 by 1e-7.
FLOAT16_CONVERTER = 1.2e-7
# Outputs of a graph that computes in float16, compared with those of the float32 params.
FLOAT16_GRAPH = 1e-2
