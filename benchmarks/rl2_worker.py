"""RL²: where the time of an update goes, and how near its products come to what the machine can do."""

import equinox as eqx
import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from engram import Config
from engram.agents.acting import rollout
from engram.agents.base import Played, acting_key


def update(env: str, cell: str, agent: str, trials: int, length: int, seconds: float) -> dict[str, float]:
    """An update, and apart from it its rollout, and one gradient by the estimator."""
    sizes = {"batch": trials, "length": length, "steps": trials * length, "seed": 0, "seeds": 1, "log_every": 1}
    trial = Config(None, cell, "BPTT()", "adam(1e-3)", **sizes, env=env, agent=agent).acting()
    learning, made = trial.agent, trial.init(jax.random.key(0))
    arrays, static = eqx.partition(made, eqx.is_array)

    def compiled(function):
        program = jax.jit(lambda arrays: eqx.filter(function(eqx.combine(arrays, static)), eqx.is_array))
        return median_seconds(lambda: jax.block_until_ready(program(arrays)), seconds)

    def play(state):
        return rollout(learning.env, state.model, state.carry.state, state.playing, acting_key(state), length)

    def gradient(state):
        steps = play(state)[2]
        played = Played(steps, steps.value[:, -1])
        window = played.window(learning.targets(played))
        return learning.estimator.gradient(learning.step, state.model, state.carry, window, state.key)

    whole, acting = compiled(lambda state: learning.update(state, length)), compiled(play)
    one = compiled(gradient) - acting
    return {
        "seconds": whole,
        "steps_per_second": trials * length / whole,
        "acting": acting / whole,
        "gradient": one / whole,
        "rest": 1 - (acting + one) / whole,
    }


def product(rows: int, units: int, groups: int, seconds: float) -> dict[str, float]:
    """Products of the size that a step of a GRU has: arithmetic in a second."""
    h, weight = jnp.ones((rows, units)), jnp.full((units, groups * units), 1e-4)
    many = jax.jit(lambda h: jax.lax.fori_loop(0, 100, lambda _, h: (h @ weight)[:, :units], h))
    took = median_seconds(lambda: many(h).block_until_ready(), seconds) / 100
    return {"seconds": took, "operations_per_second": 2 * rows * units * units * groups / took}


if __name__ == "__main__":
    sizes = {"env": "Previous(Trials(Bandit(10), 100), none=False)", "trials": 256, "length": 101, "seconds": 10.0}
    networks = {"cell": "WeightNorm(ReLUGRU(256))", "agent": "TRPO(radius=0.01, gamma=0.99, lam=0.3, damping=1e-5)"}
    cases = {
        "update": (update, {**sizes, **networks}),
        "product": (product, {"rows": 256, "units": 256, "groups": 3, "seconds": 3.0}),
    }
    answer(cases, "engram", "jax")
