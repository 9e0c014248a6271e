"""Tolerances of all tests, each with its reason. They are absolute unless the name says otherwise."""

# Cosines and components of unit vectors: float32 sums of a few hundred products, in another order.
UNIT_VECTORS = 1e-6

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
