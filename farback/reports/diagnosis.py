"""The bias, variance and cost of gradient estimators, measured on a model and data at fixed parameters."""

import statistics
import time
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from farback.estimators import BPTT, AbstractEstimator
from farback.runs.expressions import express
from farback.step import AbstractStep, Model
from farback.types import InputError, Window


class Diagnosis(eqx.Module):
    """The gradient ĝ of one estimator compared with the exact gradient g of a window, and its cost.

    - `estimator`: the estimator, as an expression.
    - `bias`: ‖E ĝ − g‖ / ‖g‖, corrected for the noise of a finite number of draws.
    - `bias_floor`: about the smallest bias that this number of draws can distinguish from zero.
    - `variance`: E ‖ĝ − E ĝ‖² / ‖E ĝ‖², the relative variance (thesis, eq. 3.22), corrected likewise; at most the number of
      draws, which cannot distinguish larger values.
    - `cosine`: the mean cosine of the angle between ĝ and g.
    - `seconds_per_step`: the seconds for one time step of the whole batch, forward and backward.
    - `bytes`: the bytes of memory beside model and data: activations, traces, gradients.
    - `compile_seconds`: the seconds of compilation.
    """

    estimator: str
    bias: float
    bias_floor: float
    variance: float
    cosine: float
    seconds_per_step: float
    bytes: int
    compile_seconds: float


def diagnose(
    step: AbstractStep,
    model: Model,
    window: Window,
    estimators: Sequence[AbstractEstimator],
    *,
    draws: int = 256,
    key: PRNGKeyArray,
) -> list[Diagnosis]:
    """Compares estimators with BPTT over the whole window, which begins with initial states and empty traces.

    **Arguments:**

    - `step`, `model`, `window`: the loss that the gradient belongs to, its parameters and its data.
    - `estimators`: the estimators.
    - `draws`: the number of draws of a random estimator.
    - `key`: the key of the draws.
    """
    if draws < 2:
        raise InputError(f"draws={draws}: a variance needs two draws; give draws >= 2.")
    window = window.checked()
    carries = [estimator.init(step, model, window) for estimator in estimators]  # raises before anything is compiled
    exact = _exact(step, model, window)
    if not bool(jnp.linalg.norm(exact) > 0):
        raise InputError("The exact gradient of this window is zero: no loss depends on a parameter; give a longer one.")
    return [
        _diagnose_one(step, model, window, estimator, carry, exact, draws, key)
        for estimator, carry in zip(estimators, carries, strict=True)
    ]


def credit_reach(step: AbstractStep, model: Model, window: Window, lags: int | None = None) -> Float[Array, " lags"]:
    """Returns how far credit reaches: the root mean square of ‖∂ℓ_t/∂s_{t−k}‖ over t and the batch, for k = 0, ..., lags.

    s_{t−k} is the state before step t − k. Steps t whose loss depends on no such state do not count.

    **Arguments:**

    - `step`, `model`, `window`: the loss, its parameters and its data.
    - `lags`: the longest lag; by default half of the window. Each lag is an average over the same steps t.
    """
    window = window.checked()
    steps = window.first.shape[1]
    lags = steps // 2 if lags is None else lags
    if not 1 <= lags <= steps - 2:
        raise InputError(
            f"lags={lags}: the window must be longer by 2 steps, and it has {steps}; give 1 <= lags <= {steps - 2}."
        )
    return _reach(step, model, window, lags)


@eqx.filter_jit
def _exact(step, model, window):
    estimator = BPTT()
    carry = estimator.init(step, model, window)
    gradient, _, _ = estimator.gradient(step, model, carry, window, jax.random.key(0))
    return ravel_pytree(gradient)[0]


def _diagnose_one(step, model, window, estimator, carry, exact, draws, key):
    parameters, rest = eqx.partition((step, model, window, estimator, carry), eqx.is_array)

    def gradient(parameters, key):
        step, model, window, estimator, carry = eqx.combine(parameters, rest)
        gradient, carry, _ = estimator.gradient(step, model, carry, window, key)
        return ravel_pytree(gradient)[0], carry

    start = time.perf_counter()
    compiled = jax.jit(gradient).lower(parameters, key).compile()
    compile_seconds = time.perf_counter() - start
    keys = jax.random.split(key, draws)
    jax.block_until_ready(compiled(parameters, keys[0]))
    total, square, cosine = jnp.zeros_like(exact), 0.0, 0.0
    times = []
    for draw in keys if estimator.random else keys[:5]:
        start = time.perf_counter()
        estimate, _ = jax.block_until_ready(compiled(parameters, draw))
        times.append(time.perf_counter() - start)
        total, square, cosine = _add(total, square, cosine, estimate, exact)
    count = len(times)
    mean = total / count
    scatter = float(square / count - jnp.vdot(mean, mean)) * count / (count - 1) if estimator.random else 0.0
    expected = max(float(jnp.vdot(mean, mean)) - scatter / count, scatter / count)  # ‖E ĝ‖²
    distance = float(jnp.sum((mean - exact) ** 2))
    scale = float(jnp.sum(exact**2))
    memory = compiled.memory_analysis()
    return Diagnosis(
        estimator=express(estimator),
        bias=(max(distance - scatter / count, 0.0) / scale) ** 0.5,
        bias_floor=(scatter / count / scale) ** 0.5,
        variance=scatter / expected if scatter else 0.0,
        cosine=float(cosine / count),
        seconds_per_step=statistics.median(times) / window.first.shape[1],
        bytes=memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else 0,
        compile_seconds=compile_seconds,
    )


@jax.jit
def _add(total, square, cosine, estimate, exact):
    norm = jnp.linalg.norm(estimate)
    angle = jnp.vdot(estimate, exact) / jnp.maximum(norm * jnp.linalg.norm(exact), jnp.finfo(norm.dtype).tiny)
    return total + estimate, square + norm**2, cosine + angle


@eqx.filter_jit
def _reach(step, model, window, lags):
    steps = window.first.shape[1]

    def one(data):
        state = step.memory(model).initial()

        def losses(nudges):
            def advance(state, now):
                data, nudge = now
                state, (loss, _) = step(model, jax.tree.map(jnp.add, state, nudge), data)
                return state, loss

            return jax.lax.scan(advance, state, (data, nudges))[1]

        nudges = jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), state)
        loss, pull = jax.vjp(losses, nudges)

        def squares(t):
            (credit,) = pull(jax.nn.one_hot(t, steps, dtype=loss.dtype))
            squares = [jnp.sum(leaf.reshape(steps, -1) ** 2, axis=1) for leaf in jax.tree.leaves(credit)]
            norms = jnp.sum(jnp.stack(squares), axis=0)
            return jax.lax.dynamic_slice_in_dim(norms, t - lags, lags + 1)[::-1]

        return jax.lax.map(squares, jnp.arange(lags + 1, steps))

    squares = jax.vmap(one)(window).reshape(-1, lags + 1)
    counted = jnp.sum(jnp.any(squares > 0, axis=1))
    return jnp.sqrt(jnp.sum(squares, axis=0) / jnp.maximum(counted, 1).astype(squares.dtype))
