"""The network that MemUP trains: a memory, and a head that predicts the outcome of any later step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Space
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from farback.cell import AbstractCell, State, output_size, require_sizes, reset, unroll
from farback.cells.chain import Stateless
from farback.encoders import Flatten, features_size
from farback.envs.spaces import HashableSpace, flat, width
from farback.network import AbstractEncoder


class PredictorInputs(NamedTuple):
    """The inputs of a step: its observation, and its action, or `()` if steps have no actions."""

    observation: Any
    action: Any = ()


class MemoryPredictor(eqx.Module):
    """Predicts the outcome of a step k from the memory at a step t ≤ k:

        m_t = g(encoder(o_t), m_{t−1}),      q_k = (encoder(o_k), a_k),      c_k = context(q_k, c_{k−1})
        ŷ_k = head(m_t, c_k, q_k)

    **Arguments:**

    - `encoder`: maps an observation o to features, which the memory reads, and which are a part of the query q.
    - `memory`: the cell g.
    - `head`: maps the memory's output m, the context c and the query q to the prediction, such as a `PredictionHead`.
    - `context`: a cell over the queries, which distinguishes steps with equal queries. It is not trained.
    - `action_space`: the space of the actions; `None` if steps have no actions.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, section 2, where the head is called a predictor.
    """

    encoder: Callable[[Any], Any]
    memory: AbstractCell
    head: Callable[..., Any]
    context: AbstractCell
    action_space: HashableSpace | None = eqx.field(static=True, default=None)

    def query(self, x: PredictorInputs) -> Float[Array, " query"]:
        """The query for the outcome of a step."""
        return query_of(self.encoder(x.observation), self.action_space, x.action)

    def initial(self) -> State:
        return self.memory.initial(), self.context.initial()

    def __call__(self, state: State, first: Any, x: PredictorInputs) -> tuple[State, Any]:
        """Returns `(state, prediction)` of one step, which predicts its own outcome: k = t."""
        features = self.encoder(x.observation)
        query = query_of(features, self.action_space, x.action)
        memory, remembered = self.memory(reset(self.memory, state[0], first), features)
        context, known = self.context(reset(self.context, state[1], first), query)
        return (memory, context), self.head(remembered, jax.lax.stop_gradient(known), query)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: PredictorInputs
    ) -> tuple[State, tuple[Any, Any, Float[Array, "time batch query"]]]:
        """Returns `(state, (outputs, contexts, queries))` of a window: the memory's output, the context and the query at
        each step.
        """
        flow = jnp.ones(first.shape)
        features = jax.vmap(jax.vmap(self.encoder))(x.observation)
        query = jax.vmap(jax.vmap(lambda features, action: query_of(features, self.action_space, action)))(
            features, x.action
        )
        memory, remembered = unroll(self.memory, state[0], first, features, flow)
        context, contexts = unroll(self.context, state[1], first, query, flow)
        return (memory, context), (remembered, jax.lax.stop_gradient(contexts), query)


def query_of(
    features: Float[Array, " features"], action_space: HashableSpace | None, action: Any
) -> Float[Array, " query"]:
    """The query of a step: the features of its observation and its action, or the features alone if there is no action."""
    return features if action_space is None else jnp.concatenate([features, flat(action_space.unwrapped, action)])


def query_size(features: int, action_space: Space[Any] | None) -> int:
    """The length of a query, from the number of features."""
    return features if action_space is None else features + width(action_space)


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
        actions = data.action_space
        context, context_size, queries = no_context(), 0, query_size(features, actions)
        if self.context is not None:
            context = self.context(queries, key=context_key)
            context_size = output_size(context, queries)
        size = output_size(memory, features)
        head = PredictionHead(size, context_size, queries, size, data.output_size, key=head_key)
        return MemoryPredictor(encoder, memory, head, context, None if actions is None else HashableSpace(actions))


def no_context() -> AbstractCell:
    """Returns a context of size 0."""
    return Stateless(_empty)


def _empty(query: PyTree) -> Float[Array, "0"]:
    del query
    return jnp.zeros(0)
