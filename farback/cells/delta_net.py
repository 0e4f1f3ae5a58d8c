"""An associative memory with the delta rule."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractUnrolledCell, pass_credit, require_sizes, require_vector, reset
from farback.cells.initialisers import AbstractWeights, Xavier
from farback.cells.projected import draw_projection

Table = Float[Array, "heads keys values"]


class Access(NamedTuple):
    """The writes and reads of a step: k, v, β and q."""

    key: Float[Array, "heads keys"]
    value: Float[Array, "heads values"]
    rate: Float[Array, "heads values"]
    query: Float[Array, "heads keys"]


class DeltaNet(AbstractUnrolledCell):
    """A table M per head, which maps keys to values, and returns the value that was last written to keys like the query:

        k = n(W_k x),  q = n(W_q x),  v = W_v x,  β = σ(W_β x + b),     n(a) = SiLU(a) / ‖SiLU(a)‖
        M′ = M + k (β ⊙ (v − Mᵀ k))ᵀ
        y = M′ᵀ q

    A write corrects the value of k by its error: with β = 1 it replaces the old value. Values of keys orthogonal to k do
    not change. Here β is a gate per value, so a step can write some values and keep others.

    Use it where many associations must be remembered, such as the outcome of each action in each state. The state has
    heads · keys · values numbers, and the parameters are those of a layer of 2 · heads · (keys + values) units. A write
    depends only on the present input, so key and value must be in one input: put `FrameStack` before it if the value
    follows its key. Its exact trace is large: use reverse estimators, or `UORO`.

    **Arguments:**

    - `input_size`: the number of inputs.
    - `heads`: the number of tables.
    - `keys`, `values`: the size of a key and of a value. There are heads · values outputs.
    - `input_init`: the initialiser of each W.

    Reference: Schlag, Irie and Schmidhuber, *Linear transformers are secretly fast weight programmers*, ICML 2021.
    """

    address_weight: Float[Array, "inputs 2 addresses"]
    write_weight: Float[Array, "inputs 2 outputs"]
    bias: Float[Array, " outputs"]
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        heads: int = 2,
        keys: int = 16,
        values: int = 16,
        input_init: AbstractWeights = Xavier(),
        *,
        key: PRNGKeyArray,
    ):
        require_sizes(input_size=input_size, heads=heads, keys=keys, values=values)
        address, write = jax.random.split(key)
        self.address_weight = draw_projection(input_init, address, input_size, 2, heads * keys)
        self.write_weight = draw_projection(input_init, write, input_size, 2, heads * values)
        self.bias = jnp.zeros(heads * values)
        self.heads = heads

    def initial(self) -> Table:
        keys, values = (weight.shape[-1] // self.heads for weight in (self.address_weight, self.write_weight))
        return jnp.zeros((self.heads, keys, values), self.bias.dtype)

    def __call__(self, state: Table, x: Float[Array, " inputs"]) -> tuple[Table, Float[Array, " outputs"]]:
        return step(state, self.project(x))

    def unroll(
        self,
        state: Float[Array, "batch heads keys values"],
        first: Bool[Array, "time batch"],
        x: Float[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[Float[Array, "batch heads keys values"], Float[Array, "time batch outputs"]]:
        # The table of each step is stored; the backward pass computes the rest again.
        @partial(jax.checkpoint, prevent_cse=False)
        @jax.vmap
        def batched(state, first, access, flow):
            return step(reset(self, pass_credit(state, flow), first), access)

        access = jax.vmap(jax.vmap(self.project))(x)
        return jax.lax.scan(lambda state, now: batched(state, *now), state, (first, access, flow))

    def project(self, x: Float[Array, " inputs"]) -> Access:
        """k, v, β and q."""
        require_vector(self, x, self.address_weight.shape[0])
        key, query = normalised(jnp.tensordot(x, self.address_weight, 1).reshape(2, self.heads, -1))
        value, rate = jnp.tensordot(x, self.write_weight, 1).reshape(2, self.heads, -1)
        return Access(key, value, jax.nn.sigmoid(rate + self.bias.reshape(rate.shape)), query)


def step(table: Table, access: Access) -> tuple[Table, Float[Array, " outputs"]]:
    """Returns (table, output): the table after the write, and the values read from it."""
    error = access.value - looked_up(table, access.key)
    table = table + access.key[:, :, None] * (access.rate * error)[:, None, :]
    return table, looked_up(table, access.query).ravel()


def looked_up(table: Table, address: Float[Array, "heads keys"]) -> Float[Array, "heads values"]:
    """The values of a table at an address: Mᵀ k of each head."""
    return jnp.einsum("hk,hkv->hv", address, table)


def normalised(a: Float[Array, "*heads keys"]) -> Float[Array, "*heads keys"]:
    """SiLU(a) / ‖SiLU(a)‖, and 0 where a is 0."""
    a = jax.nn.silu(a)
    return a * jax.lax.rsqrt(jnp.sum(a * a, -1, keepdims=True) + 1e-6)
