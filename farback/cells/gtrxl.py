"""The gated transformer-XL, as a cell with a bounded past."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractUnrolledCell, pass_credit, require_sizes, require_vector
from farback.cells.relative_attention import AttentionSpan, RelativeAttention, attention_span
from farback.types import InputError


class GTrXLState(NamedTuple):
    """The inputs of each layer at the last steps, the oldest first, and whether there were such steps (1 or 0)."""

    past: Float[Array, "layers memory units"]
    valid: Float[Array, " memory"]


class GTrXL(AbstractUnrolledCell):
    """The gated transformer-XL: each layer attends to its inputs of the last `memory` steps and of the present step.

        Y = gate(E, ReLU(attention(LN([past, E])))),  E′ = gate(Y, ReLU(feed(LN(Y))))                 for each layer
        attention: softmax_j((q + u) · k_j + (q + v) · p_{t−j}) / √d over the steps j, p of the distance t − j
        gate(x, y): r = σ(W_r y + U_r x),  z = σ(W_z y + U_z x − b_g),  ĥ = tanh(W_g y + U_g (r ⊙ x)),
                    (1 − z) ⊙ x + z ⊙ ĥ

    The E of the first layer is a linear map of the observation, and b_g is a parameter. The paper stops the gradient at the
    stored past. Here the estimator decides how far credit goes: BPTT stops it at the beginning of the window. The state is
    large (layers × memory × size), so RTRL is for tests only.

    Use it as a baseline with attention, on dependencies that `memory` covers. An output depends on the last layers × memory
    steps.

    **Arguments:**

    - `input_size`, `size`: the number of inputs, and of units in each layer.
    - `memory`: the number of past steps that each layer keeps.
    - `layers`: the number of layers.
    - `heads`: the number of attention heads. It must divide `size`.
    - `width`: the width of the feed-forward layers; the default is 4 · size.
    - `gate_bias`: the initial b_g. With 2, a layer passes on most of its input.

    Reference: Parisotto et al., *Stabilizing transformers for reinforcement learning*, ICML 2020; Dai et al.,
    *Transformer-XL*, ACL 2019.
    """

    embed: eqx.nn.Linear
    blocks: tuple["Block", ...]
    memory: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        size: int,
        memory: int = 64,
        layers: int = 3,
        heads: int = 4,
        width: int | None = None,
        gate_bias: float = 2.0,
        *,
        key: PRNGKeyArray,
    ):
        width = 4 * size if width is None else width
        require_sizes(input_size=input_size, size=size, memory=memory, layers=layers, heads=heads, width=width)
        if size % heads:
            raise InputError(f"GTrXL(heads={heads}): the heads divide the {size} units equally; give a divisor of {size}.")
        embed_key, *keys = jax.random.split(key, layers + 1)
        self.embed = eqx.nn.Linear(input_size, size, key=embed_key)
        self.blocks = tuple(Block(size, heads, width, gate_bias, key=key) for key in keys)
        self.memory = memory

    def initial(self) -> GTrXLState:
        weight = self.embed.weight
        past = jnp.zeros((len(self.blocks), self.memory, len(weight)), weight.dtype)
        return GTrXLState(past, jnp.zeros(self.memory, weight.dtype))

    def __call__(self, state: GTrXLState, x: Float[Array, " inputs"]) -> tuple[GTrXLState, Float[Array, " units"]]:
        require_vector(self, x, self.embed.weight.shape[1])
        now, inputs = self.embed(x), []
        for block, past in zip(self.blocks, state.past, strict=True):
            inputs.append(now)
            now = block(now, past, state.valid)
        past = jnp.concatenate([state.past[:, 1:], jnp.stack(inputs)[:, None]], axis=1)
        valid = jnp.concatenate([state.valid[1:], jnp.ones_like(state.valid[:1])])
        return GTrXLState(past, valid), now

    def unroll(
        self,
        state: GTrXLState,
        first: Bool[Array, "time batch"],
        x: Float[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[GTrXLState, Float[Array, "time batch units"]]:
        require_vector(self, x[0, 0], self.embed.weight.shape[1])
        span = attention_span(state.valid, first, flow)
        now, inputs = jax.vmap(jax.vmap(self.embed))(jnp.swapaxes(x, 0, 1)), []
        for layer, block in enumerate(self.blocks):
            inputs.append(now)
            now = block.window(state.past[:, layer], now, span)
        past = jnp.concatenate([state.past, jnp.stack(inputs, 1)], 2)[:, :, -self.memory :]
        valid = jnp.concatenate([state.valid, jnp.ones_like(first.T, state.valid.dtype)], 1)[:, -self.memory :]
        kept, last = span.part(len(first), self.memory), span.part(self.memory + len(first) - 1, 1)
        same, credit = kept.same(last)[:, 0], kept.credit(last)[:, 0]
        past = jnp.where(same[:, None, :, None], past, 0)
        by_step = jax.vmap(pass_credit)  # each kept step has its own factor
        past = jax.vmap(jax.vmap(by_step, in_axes=(0, None)))(past, credit)
        return GTrXLState(past, jax.vmap(by_step)(jnp.where(same, valid, 0), credit)), jnp.swapaxes(now, 0, 1)


class Block(eqx.Module):
    """One layer: attention and a multilayer perceptron, each with a normalisation before it and a gate after it."""

    attention: RelativeAttention
    attention_gate: "Gate"
    feed_norm: eqx.nn.LayerNorm
    feed: eqx.nn.MLP
    feed_gate: "Gate"

    def __init__(self, size: int, heads: int, width: int, gate_bias: float, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 4)
        self.attention, self.feed_norm = RelativeAttention(size, heads, key=keys[0]), eqx.nn.LayerNorm(size)
        self.attention_gate, self.feed_gate = (Gate(size, gate_bias, key=key) for key in keys[1:3])
        self.feed = eqx.nn.MLP(size, size, width, 1, jax.nn.relu, key=keys[3])

    def __call__(
        self, now: Float[Array, " units"], past: Float[Array, "memory units"], valid: Float[Array, " memory"]
    ) -> Float[Array, " units"]:
        return self._fed(now, self.attention(jnp.concatenate([past, now[None]]), valid))

    def window(
        self, past: Float[Array, "batch memory units"], now: Float[Array, "batch time units"], span: AttentionSpan
    ) -> Float[Array, "batch time units"]:
        """The same for all steps of a window."""
        return jax.vmap(jax.vmap(self._fed))(now, self.attention.window(past, now, span))

    def _fed(self, now, attended):
        now = self.attention_gate(now, jax.nn.relu(attended))
        return self.feed_gate(now, jax.nn.relu(self.feed(self.feed_norm(now))))


class Gate(eqx.Module):
    """A gated recurrent unit in place of a residual connection: x is the skip input, y the output of the layer."""

    incoming: Float[Array, "units 3 units"]
    passing: Float[Array, "units 3 units"]
    bias: Float[Array, " units"]

    def __init__(self, size: int, bias: float, *, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.incoming, self.passing = (jax.random.normal(key, (size, 3, size)) * size**-0.5 for key in keys)
        self.bias = jnp.full(size, bias)

    def __call__(self, x: Float[Array, " units"], y: Float[Array, " units"]) -> Float[Array, " units"]:
        w_r, w_z, w_g = jnp.tensordot(y, self.incoming, 1)
        u_r, u_z = jnp.tensordot(x, self.passing[:, :2], 1)
        r, z = jax.nn.sigmoid(w_r + u_r), jax.nn.sigmoid(w_z + u_z - self.bias)
        return (1 - z) * x + z * jnp.tanh(w_g + (r * x) @ self.passing[:, 2])
