"""The shapes that batches may have, and what they cost.

Costs are in tokens: a cost of 100 is the time in which a full batch of short rows computes 100 tokens.
"""

import dataclasses

from minilm_jax.tokens.batching import Shape

# A process makes at most this many programs.
MOST_PROGRAMS = 8


@dataclasses.dataclass(frozen=True)
class ShapeRules:
    """The shapes that batches may have on one kind of device, and their costs.

    Attributes:
        query_lengths: Tokens per row of batches with one row per device, for a few short texts.
        short_length: Tokens per row of batches for lists of short texts.
        row_lengths: Tokens per row that further batches may have, in ascending order.
        call_tokens: Tokens per device in these batches, in descending order.
        fewest_rows: Rows per device of these batches, even if they have more tokens, up to `most_tokens`.
        most_tokens: Maximum tokens per device, except for a single row.
        call_cost: Cost of a call without any token.
        attention_length: Tokens at which attention doubles the cost of a row.
        compile_cost: Cost of a program.
        devices: Number of devices, which the rows of a batch are a multiple of.
    """

    query_lengths: tuple[int, ...]
    short_length: int
    row_lengths: tuple[int, ...]
    call_tokens: tuple[int, ...]
    call_cost: float
    attention_length: float
    compile_cost: float
    fewest_rows: int = 1
    most_tokens: int = 0
    devices: int = 1

    @property
    def query_shapes(self) -> list[Shape]:
        """The shapes for queries, (rows, tokens per row)."""
        return [(self.devices, length) for length in self.query_lengths]

    def cost(self, shape: Shape) -> float:
        """Return the cost of a call."""
        rows, length = shape
        return self.call_cost + rows / self.devices * length * (1 + length / self.attention_length)

    def row_length(self, tokens: int) -> int:
        """Return the shortest row length for lists of texts of this many tokens."""
        return min((length for length in self.row_lengths if length >= tokens), default=tokens)

    def list_shapes(self, length: int) -> list[Shape]:
        """Return the shapes for lists of texts, (rows, tokens per row), in descending order of rows."""
        fewest = max(1, min(self.fewest_rows, self.most_tokens // length))
        rows = dict.fromkeys(max(fewest, tokens // length) * self.devices for tokens in self.call_tokens)
        return [(count, length) for count in rows]

    def expected_shapes(self, longest: int) -> list[Shape]:
        """Return the shapes that are enough for all jobs: for queries, short texts, and texts of up to this length."""
        lists = self.list_shapes(self.short_length) + self.list_shapes(max(self.short_length, self.row_length(longest)))
        return [*dict.fromkeys(self.query_shapes + lists)]

    def request_shapes(self, longest: int) -> list[Shape]:
        """Return the shapes for requests of any size: the expected ones, and smaller batches of short texts.

        Args:
            longest: Tokens of the longest text.
        """
        queries = [(self.devices, length) for length in (*self.query_lengths[:2], self.query_lengths[-1])]
        lists = [shape for shape in self.expected_shapes(longest) if shape not in self.query_shapes]
        found = dict.fromkeys([*queries, *lists, self.single_shape(longest)])
        rows = self.list_shapes(self.short_length)[-1][0]
        while len(found) < MOST_PROGRAMS and (rows := rows // 2) > self.devices:
            found[rows // self.devices * self.devices, self.short_length] = None
        return [*found]

    def single_shape(self, longest: int) -> Shape:
        """Return the shape for a single text of up to this length: the longest one for queries, if that fits."""
        return self.devices, max(self.query_lengths[-1], self.row_length(longest))

    def other_shapes(self, longest: int) -> list[Shape]:
        """Return further shapes that may suit texts of up to this length better."""
        lengths = [length for length in self.row_lengths if length <= self.row_length(longest)]
        # A single text is followed by others of different lengths, so that its row should not fit too closely.
        single = (self.devices, 1 << (longest - 1).bit_length())
        singles = [single] if single[1] > self.query_lengths[-1] else []  # The shapes for queries fit shorter texts.
        return [shape for length in lengths for shape in self.list_shapes(length)] + singles
