"""Agents: environment steps per second, acting and learning included; and random actions alone."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from farback import configure
from farback.envs import AbstractEnv
from farback.runs.kinds import build

OPTIMIZER = "chain(clip_by_global_norm(0.5), adam(1e-3))"


def ppo(
    env: str,
    cell: str,
    shared: int,
    copies: int,
    rollout: int,
    epochs: int,
    minibatches: int,
    seeds: int,
    devices: int,
    seconds: float,
) -> dict[str, float]:
    """Updates of PPO, as `farback train` compiles them. `shared`: whether policy and value read one memory."""
    jax.config.update("jax_num_cpu_devices", devices)
    config = configure(
        "ppo",
        env=env,
        cell=cell,
        shared_memory=bool(shared),
        optimizer=OPTIMIZER,
        num_envs=copies,
        window=rollout,
        epochs=epochs,
        minibatches=minibatches,
        seeds=seeds,
        log_every=1,
    )
    program = config.program(devices)
    running = program.init()

    def run():
        nonlocal running
        running = jax.block_until_ready(program.advance(running, 4, 0)[0])

    took = median_seconds(run, seconds) / 4
    return {"seconds": took, "steps_per_second": copies * rollout * seeds / took}


REPLAY: dict[str, Any] = {
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "sequence_length": 1,
    "cell": "MLP(64, layers=2)",
}
RECURRENT: dict[str, Any] = {"cell": "GRU(64)", "sequence_length": 16}
OFF_POLICY: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("dqn", REPLAY),
    "ddpg": ("ddpg", REPLAY),
    "td3": ("ddpg", REPLAY | {"critics": 2, "policy_period": 2, "smoothing_std": 0.2}),
    "sac": ("sac", REPLAY),
    "recurrent-dqn": ("dqn", REPLAY | RECURRENT),
    "r2d2": ("dqn", REPLAY | RECURRENT | {"prioritized": True, "double": True, "burn_in": 4, "n_step": 3}),
}


def off_policy(
    algorithm: str,
    words: dict[str, Any],
    env: str,
    copies: int,
    batch: int,
    updates: int,
    seeds: int,
    devices: int,
    seconds: float,
) -> dict[str, float]:
    """Updates of an off-policy agent, as `farback train` compiles them: a step of all copies, and a gradient step."""
    jax.config.update("jax_num_cpu_devices", devices)
    sizes = {"num_envs": copies, "window": 1, "gradient_steps": 1, "batch_size": batch, "seeds": seeds}
    program = configure(algorithm, env=env, **words, **sizes, log_every=updates).program(devices)
    running = program.init()
    for _ in range(-(-2_000 // (copies * updates))):  # until it learns
        running = program.advance(running, updates, 0)[0]

    def run():
        nonlocal running
        running = jax.block_until_ready(program.advance(running, updates, 0)[0])

    took = median_seconds(run, seconds) / updates
    return {"seconds": took, "steps_per_second": copies * seeds / took}


def dau(copies: int, window: int, gradients: int, batch: int, units: int, dt: float, seconds: float) -> dict[str, float]:
    """Updates of deep advantage updating on Pendulum, as `farback train` compiles them."""
    sizes = {"num_envs": copies, "window": window, "gradient_steps": gradients, "batch_size": batch}
    networks = {"cell": f"MLP({units}, layer_norm=True)", "advantage_size": units}
    program = configure("dau", env=f"PerSecond(Pendulum(dt={dt}))", **sizes, **networks, log_every=1).program()
    running = program.advance(program.init(), 3, 0)[0]  # until it learns

    def run():
        nonlocal running
        running = jax.block_until_ready(program.advance(running, 1, 0)[0])

    took = median_seconds(run, seconds)
    return {"seconds": took, "steps_per_second": copies * window / took}


def random(env: str, copies: int, steps: int, seconds: float) -> dict[str, float]:
    """Uniformly random choices between two actions."""
    made = build(env, AbstractEnv)

    @jax.jit
    def play(key):
        begin, act = jax.random.split(key)

        def one(plays, key):
            words = jax.random.bits(key, (copies,))
            plays, feedback = jax.vmap(made.auto_step)(plays, (words % 2).astype(int))
            return plays, jnp.sum(feedback.reward)

        plays = jax.vmap(made.auto_reset)(jax.random.split(begin, copies))
        return jnp.sum(jax.lax.scan(one, plays, jax.random.split(act, steps))[1])

    took = median_seconds(lambda: play(jax.random.key(0)).block_until_ready(), seconds)
    return {"seconds": took, "steps_per_second": copies * steps / took}


if __name__ == "__main__":
    sizes = {"copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4, "seeds": 1, "devices": 1, "seconds": 10.0}
    tuned = {"updates": 2_048, "seeds": 1, "devices": 1, "seconds": 10.0}
    answer(
        {
            "ppo": (ppo, {"env": "TMaze(20)", "cell": "GRU(64)", "shared": 1, **sizes}),
            **{
                name: (partial(off_policy, *each), {"env": "CartPole()", "copies": 8, "batch": 128, **tuned})
                for name, each in OFF_POLICY.items()
            },
            "dau": (
                dau,
                {"copies": 256, "window": 10, "gradients": 50, "batch": 256, "units": 256, "dt": 0.01, "seconds": 10.0},
            ),
            "random": (random, {"env": "TMaze(50)", "copies": 4096, "steps": 1000, "seconds": 10.0}),
        },
        "farback",
        "jax",
    )
