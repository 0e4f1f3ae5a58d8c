"""A sum tree: draws indices in proportion to their weights.

Reference: Schaul, Quan, Antonoglou and Silver, *Prioritized experience replay*, ICLR 2016, appendix B.2.1.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.ops.scatter import last_of_each


class SumTree(eqx.Module):
    """Weights whose partial sums are the nodes of a binary tree. A write or a draw takes O(log n).

    Node 1 is the root, and the children of node i are 2i and 2i + 1. The second half of the nodes are the weights. Every
    other node is the sum of its children as it is computed from them, so that rounding errors do not accumulate.

    - `nodes`: the nodes; node 0 is unused.
    """

    nodes: Float[Array, " nodes"]

    @classmethod
    def zeros(cls, size: int) -> "SumTree":
        """Returns a tree of at least `size` weights, all 0."""
        return cls(jnp.zeros(2 * _power(size)))

    @property
    def weights(self) -> Float[Array, " leaves"]:
        """The weights."""
        return self.nodes[self.nodes.size // 2 :]

    @property
    def total(self) -> Float[Array, ""]:
        """The sum of the weights."""
        return self.nodes[1]

    def set(self, indices: Int[Array, " n"], weights: Float[Array, " n"]) -> "SumTree":
        """Returns the tree with other weights. An index beyond the end is ignored; of repeated ones, the last counts."""
        leaves = self.nodes.size // 2
        order, target = last_of_each(indices, leaves)
        nodes = self.nodes.at[jnp.where(target < leaves, leaves + target, 2 * leaves)].set(weights[order], mode="drop")
        node = leaves + jnp.minimum(target, leaves - 1)

        def up(_, carry):
            nodes, node = carry
            node = node // 2
            return nodes.at[node].set(nodes[2 * node] + nodes[2 * node + 1]), node

        return SumTree(jax.lax.fori_loop(0, leaves.bit_length() - 1, up, (nodes, node))[0])

    def draw(self, key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
        """Draws `count` indices, each in proportion to its weight. The total must be positive.

        The draws are stratified: one from each of `count` equal parts of the total weight.
        """
        strata = jnp.arange(count, dtype=float) + jax.random.uniform(key, (count,))
        left = strata / count * self.total
        leaves = self.nodes.size // 2

        def down(_, carry):
            node, left = carry
            first, second = self.nodes[2 * node], self.nodes[2 * node + 1]
            right = (left >= first) & (second > 0)
            return 2 * node + right.astype(int), jnp.where(right, left - first, left)

        return jax.lax.fori_loop(0, leaves.bit_length() - 1, down, (jnp.ones(count, int), left))[0] - leaves


def _power(size: int) -> int:
    """The least power of two that is at least `size`."""
    return 1 << max(size - 1, 0).bit_length()
