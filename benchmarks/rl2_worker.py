"""RL²: the parts of the time of an update, and the speed of matrix products of its size."""

import equinox as eqx
import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from farback import configure
from farback.acting import rollout
from farback.agents import AbstractOnPolicyAgent, Rollout


def update(env: str, cell: str, algorithm: str, words: str, trials: int, length: int, seconds: float) -> dict[str, float]:
    """The times of an update, of its rollout, and of one gradient by the estimator.

    `words` are arguments of the algorithm, such as `gamma=0.99 gae_lambda=0.3`.
    """
    given = {name: float(value) for name, value in (word.split("=") for word in words.split())}
    agent = configure(
        algorithm, env=env, cell=cell, optimizer="adam(1e-3)", num_envs=trials, window=length, **given
    ).build()
    assert isinstance(agent, AbstractOnPolicyAgent)
    arrays, static = eqx.partition(agent.init(jax.random.key(0)), eqx.is_array)

    def compiled(function):
        program = jax.jit(lambda arrays: eqx.filter(function(eqx.combine(arrays, static)), eqx.is_array))
        return median_seconds(lambda: jax.block_until_ready(program(arrays)), seconds)

    def play(state):
        return rollout(agent.env, agent.policy(state.network), state.carry.state, state.envs, state.key, length)

    def gradient(state):
        trajectory = play(state)[2]
        played = Rollout(trajectory, trajectory.extras.value[:, -1])
        window = played.window(agent.targets(played))
        return agent.estimator.gradient(agent.step, state.network, state.carry, window, state.key)

    whole, acting = compiled(agent.update), compiled(play)
    one = compiled(gradient) - acting
    return {
        "seconds": whole,
        "steps_per_second": trials * length / whole,
        "acting": acting / whole,
        "gradient": one / whole,
        "rest": 1 - (acting + one) / whole,
    }


def product(rows: int, units: int, groups: int, seconds: float) -> dict[str, float]:
    """Matrix products of the size of a GRU's step: operations per second."""
    h, weight = jnp.ones((rows, units)), jnp.full((units, groups * units), 1e-4)
    many = jax.jit(lambda h: jax.lax.fori_loop(0, 100, lambda _, h: (h @ weight)[:, :units], h))
    took = median_seconds(lambda: many(h).block_until_ready(), seconds) / 100
    return {"seconds": took, "operations_per_second": 2 * rows * units * units * groups / took}


if __name__ == "__main__":
    sizes = {
        "env": "PreviousActionReward(Trials(Bandit(10), 100), none=False)",
        "trials": 256,
        "length": 101,
        "seconds": 10.0,
    }
    words = "max_kl=0.01 gamma=0.99 gae_lambda=0.3 damping=1e-5"
    networks = {"cell": "WeightNorm(ReLUGRU(256))", "algorithm": "trpo", "words": words}
    cases = {
        "update": (update, {**sizes, **networks}),
        "product": (product, {"rows": 256, "units": 256, "groups": 3, "seconds": 3.0}),
    }
    answer(cases, "farback", "jax")
