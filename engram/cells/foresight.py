"""A memory, and a head that is asked about any step with what was remembered at another."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.cell import AbstractCell, AbstractCompositeCell, AbstractUnrolledCell, State, require_sizes, unroll
from engram.cells.chain import Stateless
from engram.types import Told


class Apart(AbstractCompositeCell):
    """Two cells, of which one is told what is seen of a step, and the other what is asked of it; the output is a pair.

    No credit goes to the other, which is to stay as it was drawn.

    **Arguments:**

    - `memory`, `context`: the cells, as of a `Foresight`.
    """

    memory: AbstractCell
    context: AbstractCell

    def initial(self) -> State:
        return self.memory.initial(), self.context.initial()

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return self.memory, self.context

    def inputs(self, state: State, x: Told) -> tuple[Any, ...]:
        return tuple(x)

    def __call__(self, state: State, x: Told) -> tuple[State, Any]:
        memory, remembered = self.memory(state[0], x.seen)
        context, surroundings = jax.lax.stop_gradient(self.context(state[1], x.asked))
        return (memory, context), (remembered, surroundings)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Told, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        memory, remembered = unroll(self.memory, state[0], first, x.seen, flow)
        context, surroundings = jax.lax.stop_gradient(unroll(self.context, state[1], first, x.asked, flow))
        return (memory, context), (remembered, surroundings)


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

    recurrent: Apart
    head: Any

    def __init__(self, memory: AbstractCell, head: Any, context: AbstractCell | None = None):
        self.recurrent = Apart(memory, Stateless(_nothing) if context is None else context)
        self.head = head

    @property
    def memory(self) -> AbstractCell:
        return self.recurrent.memory

    def initial(self) -> State:
        return self.recurrent.initial()

    def __call__(self, state: State, x: Told) -> tuple[State, Any]:
        state, known = self.recurrent(state, x)
        return state, self.head(*known, x.asked)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Told, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        state, known = self.recurrent.unroll(state, first, x, flow)
        return state, jax.vmap(jax.vmap(self.head))(*known, x.asked)


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
