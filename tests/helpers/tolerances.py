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
# Smallest cosine of an int8 vector with the float32 vector of the same text.
MIN_INT8_COSINE = 0.99
# Unit vectors from another runtime, of which one pads all texts to 256 tokens.
OTHER_RUNTIME_VECTORS = 1e-5
# Scores of vectors with 384 components, float32 sums in another order than in torch.
TORCH_SCORES = 1e-5
# torch computes distances from dot products, which loses digits where vectors are near each other.
TORCH_DISTANCES = 1e-3
# Manhattan distances of about 20, each a sum of 384 differences.
TORCH_MANHATTAN = 2e-5
# Vectors of tokens, whose components are up to about 10.
TOKEN_VECTORS = 1e-5
# Fraction of int8 levels that can be off by one, because the float32 vectors differ by 1e-7.
INT8_LEVELS_OFF_BY_ONE = 1e-3
