"""The network that MemUP trains: a memory, and a head that predicts the outcome of any later step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from farback.cell import AbstractCell, State, output_size, require_sizes, reset, unroll
from farback.cells.chain import Stateless
from farback.encoders import Flatten, features_size
from farback.network import AbstractEncoder


class PredictorInputs(NamedTuple):
    """The inputs of a step.

    - `observation`: the input of the encoder, and through it of the memory.
    - `query`: the input of the head for predicting the outcome of this step, such as the observation and the action.
    """

    observation: Any
    query: Any


class MemoryPredictor(eqx.Module):
    """Predicts the outcome of a step k from the memory at a step t ≤ k:

        m_t = g(encoder(o_t), m_{t−1}),      c_k = context(q_k, c_{k−1}),      ŷ_k = head(m_t, c_k, q_k)

    **Arguments:**

    - `encoder`: maps an observation o to the features that the memory reads.
    - `memory`: the cell g.
    - `head`: maps the memory's output m, the context c and the query q to the prediction, such as a `PredictionHead`.
    - `context`: a cell over the queries, which distinguishes steps with equal queries. It is not trained.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, section 2, where the head is called a predictor.
    """

    encoder: Callable[[Any], Any]
    memory: AbstractCell
    head: Callable[..., Any]
    context: AbstractCell

    def initial(self) -> State:
        return self.memory.initial(), self.context.initial()

    def __call__(self, state: State, first: Any, x: PredictorInputs) -> tuple[State, Any]:
        """Returns `(state, prediction)` of one step, which predicts its own outcome: k = t."""
        memory, remembered = self.memory(reset(self.memory, state[0], first), self.encoder(x.observation))
        context, features = self.context(reset(self.context, state[1], first), x.query)
        return (memory, context), self.head(remembered, jax.lax.stop_gradient(features), x.query)

    def unroll(self, state: State, first: Bool[Array, "time batch"], x: PredictorInputs) -> tuple[State, tuple[Any, Any]]:
        """Returns `(state, (outputs, contexts))` of a window: the memory's output and the context at each step."""
        flow = jnp.ones(first.shape)
        features = jax.vmap(jax.vmap(self.encoder))(x.observation)
        memory, remembered = unroll(self.memory, state[0], first, features, flow)
        context, contexts = unroll(self.context, state[1], first, x.query, flow)
        return (memory, context), (remembered, jax.lax.stop_gradient(contexts))


class PredictionHead(eqx.Module):
    """Predicts an outcome from the memory m, the context c and the query q by an MLP:

        e = ReLU(W_q q),      h = ReLU(W_m m + W_c c + W_e e),      ŷ = V ReLU(U h)

    **Arguments:**

    - `memory_size`, `context_size`, `query_size`: the lengths of m, c and q.
    - `hidden`: the units of each hidden layer.
    - `output_size`: the length of ŷ.
    """

    encoder: eqx.nn.Linear
    from_memory: eqx.nn.Linear
    from_query: eqx.nn.Linear
    hidden: eqx.nn.Linear
    output: eqx.nn.Linear

    def __init__(
        self, memory_size: int, context_size: int, query_size: int, hidden: int, output_size: int, *, key: PRNGKeyArray
    ):
        require_sizes(memory_size=memory_size, query_size=query_size, hidden=hidden, output_size=output_size)
        keys = jax.random.split(key, 5)
        self.encoder = eqx.nn.Linear(query_size, hidden, key=keys[0])
        self.from_memory = eqx.nn.Linear(memory_size, hidden, key=keys[1])
        self.from_query = eqx.nn.Linear(hidden + context_size, hidden, use_bias=False, key=keys[2])
        self.hidden = eqx.nn.Linear(hidden, hidden, key=keys[3])
        self.output = eqx.nn.Linear(hidden, output_size, key=keys[4])

    def __call__(
        self, memory: Float[Array, " memory"], context: Float[Array, " context"], query: Float[Array, " query"]
    ) -> Float[Array, " output"]:
        embedding = jnp.concatenate([jax.nn.relu(self.encoder(query)), context])
        hidden = jax.nn.relu(self.from_memory(memory) + self.from_query(embedding))
        return self.output(jax.nn.relu(self.hidden(hidden)))


class PredictorNetwork(eqx.Module):
    """Makes the network of `MemUP`.

    **Arguments:**

    - `cell`: the memory, such as LSTM(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(LSTM, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `context`: an untrained cell over the queries, for data where steps with equal queries have different outcomes. By
      default, there is none. In Python, a maker `context(query_size, key=key)`.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    context: Callable[..., AbstractCell] | None = None

    def __call__(self, data: Any, *, key: PRNGKeyArray) -> MemoryPredictor:
        cell_key, context_key, head_key = jax.random.split(key, 3)
        space = data.observation_space
        encoder = Flatten(space) if self.encoder is None else self.encoder(space, key=jax.random.fold_in(key, 3))
        features = features_size(encoder, space)
        memory = self.cell(features, key=cell_key)
        context, context_size = no_context(), 0
        if self.context is not None:
            context = self.context(data.query_size, key=context_key)
            context_size = output_size(context, data.query_size)
        size = output_size(memory, features)
        head = PredictionHead(size, context_size, data.query_size, size, data.output_size, key=head_key)
        return MemoryPredictor(encoder, memory, head, context)


def no_context() -> AbstractCell:
    """Returns a context of size 0."""
    return Stateless(_empty)


def _empty(query: PyTree) -> Float[Array, "0"]:
    del query
    return jnp.zeros(0)
