"""A memory, and a head that is asked about any step with what was remembered at another."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.cell import AbstractCell, AbstractUnrolledCell, State, require_sizes, unroll
from engram.cells.chain import Stateless
from engram.types import Told


class Foresight(AbstractUnrolledCell):
    """Tells what comes of a step k from what was remembered at a step t ≤ k:

        m_t = g(x_t, m_{t−1}),      c_k = context(a_k, c_{k−1}),      ŷ = head(m_t, c_k, a_k)

    As a cell it is asked about the present, k = t. Its inputs are `Told(seen, asked)`: the memory g sees x, and the head is
    told a, which may hold more, such as the action whose reward is to be told.

    **Arguments:**

    - `memory`: g, a cell.
    - `head`: from what is remembered, the context and a to what a loss compares, such as a `Head`.
    - `context`: a cell that tells what surrounds step k, where a alone does not say what is asked; by default nothing. It
      stays as it was drawn: the head learns to read it.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, section 2, where the head is called a predictor.
    """

    memory: AbstractCell
    head: Any
    context: AbstractCell

    def __init__(self, memory: AbstractCell, head: Any, context: AbstractCell | None = None):
        self.memory, self.head = memory, head
        self.context = Stateless(_nothing) if context is None else context

    def initial(self) -> State:
        return self.memory.initial(), self.context.initial()

    def __call__(self, state: State, x: Told) -> tuple[State, Any]:
        memory, remembered = self.memory(state[0], x.seen)
        context, surroundings = self.context(state[1], x.asked)
        return (memory, context), self.head(remembered, jax.lax.stop_gradient(surroundings), x.asked)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Told, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        state, known = self.known(state, first, x, flow)
        return state, jax.vmap(jax.vmap(self.head))(*known, x.asked)

    def known(
        self, state: State, first: Bool[Array, "time batch"], x: Told, flow: Float[Array, "time batch"]
    ) -> tuple[State, tuple[Any, Any]]:
        """As `unroll`, but what is remembered after each step, and what surrounds it, before anything is asked."""
        memory, remembered = unroll(self.memory, state[0], first, x.seen, flow)
        context, surroundings = unroll(self.context, state[1], first, x.asked, flow)
        return (memory, context), (remembered, jax.lax.stop_gradient(surroundings))


def _nothing(asked: Any) -> Float[Array, "0"]:
    del asked
    return jnp.zeros(0)


class Head(eqx.Module):
    """A perceptron of what is remembered and of what is asked:

        e = ReLU(W_a a),      h = ReLU(W_m m + W_c c + W_e e),      ŷ = V ReLU(U h)

    **Arguments:**

    - `memory_size`, `context_size`, `asked_size`: of m, c and a.
    - `hidden`: of e, h and of the layer after it.
    - `output_size`: of ŷ.
    """

    encoder: eqx.nn.Linear
    from_memory: eqx.nn.Linear
    from_asked: eqx.nn.Linear
    hidden: eqx.nn.Linear
    output: eqx.nn.Linear

    def __init__(
        self, memory_size: int, context_size: int, asked_size: int, hidden: int, output_size: int, *, key: PRNGKeyArray
    ):
        require_sizes(memory_size=memory_size, asked_size=asked_size, hidden=hidden, output_size=output_size)
        keys = jax.random.split(key, 5)
        self.encoder = eqx.nn.Linear(asked_size, hidden, key=keys[0])
        self.from_memory = eqx.nn.Linear(memory_size, hidden, key=keys[1])
        self.from_asked = eqx.nn.Linear(hidden + context_size, hidden, use_bias=False, key=keys[2])
        self.hidden = eqx.nn.Linear(hidden, hidden, key=keys[3])
        self.output = eqx.nn.Linear(hidden, output_size, key=keys[4])

    def __call__(
        self, memory: Float[Array, " memory"], context: Float[Array, " context"], asked: Float[Array, " asked"]
    ) -> Float[Array, " output"]:
        told = jnp.concatenate([jax.nn.relu(self.encoder(asked)), context])
        hidden = jax.nn.relu(self.from_memory(memory) + self.from_asked(told))
        return self.output(jax.nn.relu(self.hidden(hidden)))
