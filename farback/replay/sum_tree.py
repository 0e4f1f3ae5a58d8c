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
    - `total`: the sum of the weights. A program that read it from the nodes would copy them before it writes to them.
    """

    nodes: Float[Array, " nodes"]
    total: Float[Array, ""]

    @classmethod
    def zeros(cls, size: int) -> "SumTree":
        """Returns a tree of at least `size` weights, all 0."""
        return cls(jnp.zeros(2 * _power(max(size, 2))), jnp.zeros(()))

    @property
    def size(self) -> int:
        """The number of weights."""
        return self.nodes.size // 2

    @property
    def weights(self) -> Float[Array, " leaves"]:
        """The weights."""
        return self.nodes[self.size :]

    def set(self, indices: Int[Array, " n"], weights: Float[Array, " n"]) -> "SumTree":
        """Returns the tree with other weights. An index beyond the end is ignored; of repeated ones, the last counts."""
        leaves = self.size
        order, target = last_of_each(indices, leaves)
        nodes = self.nodes.at[jnp.where(target < leaves, leaves + target, 2 * leaves)].set(weights[order], mode="drop")
        node = leaves + jnp.minimum(target, leaves - 1)

        def up(_, carry):
            nodes, node, _ = carry
            node = node // 2
            sums = nodes[2 * node] + nodes[2 * node + 1]
            return nodes.at[node].set(sums), node, sums

        carry = (nodes, node, jnp.zeros(node.shape, nodes.dtype))
        nodes, _, sums = jax.lax.fori_loop(0, leaves.bit_length() - 1, up, carry)
        return SumTree(nodes, sums[0])

    def draw(self, key: PRNGKeyArray, count: int) -> tuple[Int[Array, " count"], Float[Array, " count"]]:
        """Draws `count` indices, each in proportion to its weight. The total must be positive.

        The draws are stratified: one from each of `count` equal parts of the total weight.

        **Returns:** `(indices, weights)`.
        """
        strata = jnp.arange(count, dtype=float) + jax.random.uniform(key, (count,))
        left = strata / count * self.total
        leaves = self.size

        def down(_, carry):
            node, left, _ = carry
            first, second = self.nodes[2 * node], self.nodes[2 * node + 1]
            right = (left >= first) & (second > 0)
            return 2 * node + right.astype(int), jnp.where(right, left - first, left), jnp.where(right, second, first)

        carry = (jnp.ones(count, int), left, left)
        node, _, weights = jax.lax.fori_loop(0, leaves.bit_length() - 1, down, carry)
        return node - leaves, weights


def _power(size: int) -> int:
    """The least power of two that is at least `size`."""
    return 1 << max(size - 1, 0).bit_length()
