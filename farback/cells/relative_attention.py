"""Relative attention to a bounded past, of one step and of a whole window."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

CHUNK = 32  # the number of steps computed at once: the scores of a whole long window would not fit into memory


class AttentionSpan(NamedTuple):
    """The steps of the past and of a window: which ones can attend to which, and the factors on their credit.

    - `episode`: the number of a step's episode; −1 if there was no such step.
    - `cut`: the number of credit factors that are 0, up to this step.
    - `level`: the sum of the logarithms of the other credit factors, up to this step.
    """

    episode: Int[Array, "batch steps"]
    cut: Int[Array, "batch steps"]
    level: Float[Array, "batch steps"]

    def credit(self, later: "AttentionSpan") -> Float[Array, "batch later steps"]:
        """The factor on the credit from later steps to these steps."""
        factor = jnp.exp(later.level[:, :, None] - self.level[:, None])
        return jnp.where(later.cut[:, :, None] == self.cut[:, None], factor, 0.0)

    def same(self, later: "AttentionSpan") -> Bool[Array, "batch later steps"]:
        """Whether a later step belongs to the same episode."""
        return later.episode[:, :, None] == self.episode[:, None]

    def part(self, start: Int[Array, ""] | int, size: int) -> "AttentionSpan":
        """`size` steps from `start` on."""
        return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size, 1), self)


def attention_span(
    valid: Float[Array, "batch past"], first: Bool[Array, "time batch"], flow: Float[Array, "time batch"]
) -> AttentionSpan:
    """The span of a past and the window after it. `first` and `flow` are as in `farback.cell.unroll`."""
    before, flow = jnp.zeros_like(valid), flow.astype(valid.dtype)
    episode = jnp.where(valid > 0, 0, -1), jnp.cumsum(first.T, 1)
    cut = before.astype(int), jnp.cumsum((flow == 0).T, 1)
    level = before, jnp.cumsum(jnp.log(jnp.where(flow == 0, 1, flow)).T, 1)
    return AttentionSpan(*(jnp.concatenate([old, new], 1) for old, new in (episode, cut, level)))


class RelativeAttention(eqx.Module):
    """Attention by content and by distance to normalised inputs:

        softmax_j((q + u) · k_j + (q + v) · p_{t−j}) / √d,   p of the distance t − j

    Reference: Dai et al., *Transformer-XL*, ACL 2019, section 3.3.
    """

    norm: eqx.nn.LayerNorm
    weight: Float[Array, "units 3 heads head"]
    position_weight: Float[Array, "units heads head"]
    content_bias: Float[Array, "heads head"]
    position_bias: Float[Array, "heads head"]
    out: eqx.nn.Linear

    def __init__(self, size: int, heads: int, *, key: PRNGKeyArray):
        weight_key, position_key, out_key = jax.random.split(key, 3)
        head, scale = size // heads, size**-0.5
        self.norm = eqx.nn.LayerNorm(size)
        self.weight = jax.random.normal(weight_key, (size, 3, heads, head)) * scale
        self.position_weight = jax.random.normal(position_key, (size, heads, head)) * scale
        self.content_bias = jnp.zeros((heads, head))
        self.position_bias = jnp.zeros((heads, head))
        self.out = eqx.nn.Linear(size, size, use_bias=False, key=out_key)

    def __call__(self, inputs: Float[Array, "steps units"], valid: Float[Array, " memory"]) -> Float[Array, " units"]:
        """The attention of the last step. It maps the query to the units: cheaper than mapping every key to the heads."""
        steps, size = inputs.shape
        normal = jax.vmap(self.norm)(inputs)
        q = jnp.tensordot(normal[-1], self.weight[:, 0], 1)
        asked = jnp.einsum("hd,uhd->hu", q + self.content_bias, self.weight[:, 1])
        by_distance = jnp.einsum("hd,jhd->hj", q + self.position_bias, self.positions(steps))
        score = (asked @ normal.T + by_distance) * q.shape[-1] ** -0.5
        present = jnp.concatenate([valid, jnp.ones_like(valid[:1])])[None] > 0
        attention = jax.nn.softmax(jnp.where(present, score, jnp.finfo(score.dtype).min))
        return self.out(jnp.einsum("hu,uhd->hd", attention @ normal, self.weight[:, 2]).reshape(size))

    def window(
        self, past: Float[Array, "batch memory units"], now: Float[Array, "batch time units"], span: AttentionSpan
    ) -> Float[Array, "batch time units"]:
        """The attention of each step of a window to the `memory` steps before it and to itself.

        The weights get the full credit of every pair of steps, because each step computes keys and values anew from the
        stored inputs. The stored inputs get the credit that passes through the states between the two steps.
        """
        memory, (batch, steps, size) = past.shape[1], now.shape
        chunk = min(CHUNK, steps)
        missing = -steps % chunk
        inputs = jnp.pad(jnp.concatenate([past, now], 1), ((0, 0), (0, missing), (0, 0)))
        span = jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), (0, missing)), mode="edge"), span)
        q = jnp.tensordot(jax.vmap(jax.vmap(self.norm))(inputs[:, memory:]), self.weight[:, 0], 1)
        paths = self._keys_and_values(jax.lax.stop_gradient(inputs)), jax.lax.stop_gradient(self)._keys_and_values(inputs)
        positions = self.positions(memory + 1)

        @jax.checkpoint
        def attended(start):
            def cut(leaf, size):
                return jax.lax.dynamic_slice_in_dim(leaf, start, size, 1)

            asking = cut(q, chunk)
            (k, v), (k_kept, v_kept) = jax.tree.map(lambda leaf: cut(leaf, memory + chunk), paths)
            there, here = span.part(start, memory + chunk), span.part(start + memory, chunk)
            credit = there.credit(here)[:, None]
            by_content = _scores(asking + self.content_bias, k, k_kept, credit)
            by_distance = _shifted(jnp.einsum("bthd,mhd->bhtm", asking + self.position_bias, positions))
            score = (by_content + by_distance) * asking.shape[-1] ** -0.5
            offset = np.arange(memory + chunk) - np.arange(chunk)[:, None]
            visible = there.same(here)[:, None] & (offset >= 0) & (offset <= memory)
            attention = jax.nn.softmax(jnp.where(visible, score, jnp.finfo(score.dtype).min))
            return _mixed(attention, v, v_kept, credit)

        heads = jax.lax.map(attended, jnp.arange(0, steps, chunk))
        return jnp.moveaxis(heads, 0, 1).reshape(batch, -1, size)[:, :steps] @ self.out.weight.T

    def _keys_and_values(self, inputs):
        normal = jax.vmap(jax.vmap(self.norm))(inputs)
        return jnp.tensordot(normal, self.weight[:, 1], 1), jnp.tensordot(normal, self.weight[:, 2], 1)

    def positions(self, steps: int) -> Float[Array, "steps heads head"]:
        """The encodings of the distances steps − 1, ..., 1, 0."""
        size = len(self.weight)
        return jnp.tensordot(jnp.asarray(sinusoids(steps, size)[::-1], self.weight.dtype), self.position_weight, 1)


def sinusoids(steps: int, size: int) -> Float[np.ndarray, "steps units"]:
    """The distances 0, 1, ... as sines and cosines with wavelengths from 2π to 2π · 10⁴."""
    angles = np.arange(steps)[:, None] * 10_000.0 ** (-np.arange(0, size, 2) / size)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :size]


def _shifted(score):
    """Converts scores by distance, the largest first, to scores by step: row t moves t columns to the right."""
    rows, columns = score.shape[-2:]
    flat = jnp.pad(score, ((0, 0), (0, 0), (0, 0), (0, rows))).reshape(*score.shape[:-2], -1)
    return flat[..., :-rows].reshape(*score.shape[:-1], columns + rows - 1)


@jax.custom_vjp
def _scores(q, k, k_kept, credit):
    """The products q · k. Credit goes to k, and times a factor per pair to k_kept, which equals k."""
    del k_kept, credit
    return jnp.einsum("bthd,bjhd->bhtj", q, k)


def _scores_fwd(q, k, k_kept, credit):
    return _scores(q, k, k_kept, credit), (q, k, credit)


def _scores_bwd(saved, d):
    q, k, credit = saved
    d_q = jnp.einsum("bhtj,bjhd->bthd", d, k)
    d_k, d_kept = (jnp.einsum("bhtj,bthd->bjhd", part, q) for part in (d, d * credit))
    return d_q, d_k, d_kept, jnp.zeros_like(credit)


_scores.defvjp(_scores_fwd, _scores_bwd)


@jax.custom_vjp
def _mixed(attention, v, v_kept, credit):
    """Σ_j attention_j v_j. Credit goes to v, and times a factor per pair to v_kept, which equals v."""
    del v_kept, credit
    return jnp.einsum("bhtj,bjhd->bthd", attention, v)


def _mixed_fwd(attention, v, v_kept, credit):
    return _mixed(attention, v, v_kept, credit), (attention, v, credit)


def _mixed_bwd(saved, d):
    attention, v, credit = saved
    d_attention = jnp.einsum("bthd,bjhd->bhtj", d, v)
    d_v, d_kept = (jnp.einsum("bhtj,bthd->bjhd", part, d) for part in (attention, attention * credit))
    return d_attention, d_v, d_kept, jnp.zeros_like(credit)


_mixed.defvjp(_mixed_fwd, _mixed_bwd)
