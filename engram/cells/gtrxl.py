"""The gated transformer-XL, as a cell that keeps a bounded past."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from engram.cell import AbstractCell, require_sizes, require_vector
from engram.types import InputError


class GTrXLState(NamedTuple):
    """The inputs of each layer at the last steps, the oldest first, and whether there were such steps: 1 or 0."""

    past: Float[Array, "layers memory units"]
    valid: Float[Array, " memory"]


class GTrXL(AbstractCell):
    """The gated transformer-XL: at each step every layer attends to its inputs of the last `memory` steps, and its own.

        Y = gate(E, ReLU(attention(LN([past, E])))),  E′ = gate(Y, ReLU(feed(LN(Y))))                 for each layer
        attention: softmax_j((q + u) · k_j + (q + v) · p_{t−j}) / √d over the steps j, p of the distance t − j
        gate(x, y): r = σ(W_r y + U_r x),  z = σ(W_z y + U_z x − b_g),  ĥ = tanh(W_g y + U_g (r ⊙ x)),
                    (1 − z) ⊙ x + z ⊙ ĥ

    E is at first a linear map of the observation, and b_g is learnt. The paper stops the gradient at the kept past;
    here nothing does, and how far credit goes is the estimator's choice; that of BPTT, at the beginning of its window.
    The state is large (layers × memory × size): RTRL is for tests only.

    Use it as the baseline with attention, on dependencies that `memory` covers. Through `layers` layers, what an
    output knows reaches back layers × memory steps and no further.

    **Arguments:**

    - `input_size`, `size`: the numbers of inputs, and of units in each layer.
    - `memory`: the number of past steps kept.
    - `layers`, `heads`: their numbers; `size` must be a multiple of `heads`.
    - `width`: the width of the feed-forward layers; 4 · size if not given.
    - `gate_bias`: what b_g begins with: at 2, layers pass most of their input on.

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
            raise InputError(f"GTrXL(heads={heads}): the heads share the {size} units equally; give a divisor of {size}.")
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


class Block(eqx.Module):
    """One layer: attention and a perceptron, each behind a normalisation and before a gate."""

    attention_norm: eqx.nn.LayerNorm
    attention: "RelativeAttention"
    attention_gate: "Gate"
    feed_norm: eqx.nn.LayerNorm
    feed: eqx.nn.MLP
    feed_gate: "Gate"

    def __init__(self, size: int, heads: int, width: int, gate_bias: float, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 4)
        self.attention_norm, self.feed_norm = eqx.nn.LayerNorm(size), eqx.nn.LayerNorm(size)
        self.attention = RelativeAttention(size, heads, key=keys[0])
        self.attention_gate, self.feed_gate = (Gate(size, gate_bias, key=key) for key in keys[1:3])
        self.feed = eqx.nn.MLP(size, size, width, 1, jax.nn.relu, key=keys[3])

    def __call__(
        self, now: Float[Array, " units"], past: Float[Array, "memory units"], valid: Float[Array, " memory"]
    ) -> Float[Array, " units"]:
        seen = jax.vmap(self.attention_norm)(jnp.concatenate([past, now[None]]))
        now = self.attention_gate(now, jax.nn.relu(self.attention(seen, valid)))
        return self.feed_gate(now, jax.nn.relu(self.feed(self.feed_norm(now))))


class RelativeAttention(eqx.Module):
    """Attention of the last step to all, by content and by distance."""

    weight: Float[Array, "units 3 heads head"]
    position_weight: Float[Array, "units heads head"]
    content_bias: Float[Array, "heads head"]
    position_bias: Float[Array, "heads head"]
    out: eqx.nn.Linear

    def __init__(self, size: int, heads: int, *, key: PRNGKeyArray):
        weight_key, position_key, out_key = jax.random.split(key, 3)
        head, scale = size // heads, size**-0.5
        self.weight = jax.random.normal(weight_key, (size, 3, heads, head)) * scale
        self.position_weight = jax.random.normal(position_key, (size, heads, head)) * scale
        self.content_bias = jnp.zeros((heads, head))
        self.position_bias = jnp.zeros((heads, head))
        self.out = eqx.nn.Linear(size, size, use_bias=False, key=out_key)

    def __call__(self, seen: Float[Array, "steps units"], valid: Float[Array, " memory"]) -> Float[Array, " units"]:
        steps, size = seen.shape
        q = jnp.tensordot(seen[-1], self.weight[:, 0], 1)
        k, v = jnp.tensordot(seen, self.weight[:, 1], 1), jnp.tensordot(seen, self.weight[:, 2], 1)
        p = jnp.tensordot(jnp.asarray(sinusoids(steps, size)[::-1], seen.dtype), self.position_weight, 1)
        by_content = jnp.einsum("hd,jhd->hj", q + self.content_bias, k)
        by_distance = jnp.einsum("hd,jhd->hj", q + self.position_bias, p)
        score = (by_content + by_distance) * q.shape[-1] ** -0.5
        seen_at_all = jnp.concatenate([valid, jnp.ones_like(valid[:1])])[None] > 0
        attention = jax.nn.softmax(jnp.where(seen_at_all, score, jnp.finfo(score.dtype).min))
        return self.out(jnp.einsum("hj,jhd->hd", attention, v).reshape(size))


def sinusoids(steps: int, size: int) -> Float[np.ndarray, "steps units"]:
    """The distances 0, 1, ... as sines and cosines, of wavelengths from 2π to 2π · 10⁴."""
    angles = np.arange(steps)[:, None] * 10_000.0 ** (-np.arange(0, size, 2) / size)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :size]


class Gate(eqx.Module):
    """A gated recurrent unit in the place of a residual connection: x is what passes, y what is added."""

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
