"""Worlds that are seen: frames per second of both engines, and the parts of the time that an agent learns in."""

import functools
import json
import os
import subprocess
import sys
import time
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from worker import answer, median_seconds

from farback import configure
from farback.acting import RandomPolicy, reset_envs
from farback.acting import rollout as rolled_out
from farback.cell import unroll
from farback.envs import AbstractEnv
from farback.envs.doom.doom import maker
from farback.runs.config import Config
from farback.runs.kinds import build


def in_processes(words: list[str], processes: int) -> dict[str, float]:
    """Runs a case in processes of their own, each on a core, and adds up their frames per second."""
    cores = sorted(os.sched_getaffinity(0))
    each = [
        subprocess.Popen(
            [sys.executable, __file__, *words, "--processes", "0"],
            stdout=subprocess.PIPE,
            preexec_fn=functools.partial(os.sched_setaffinity, 0, {cores[number % len(cores)]}),
        )
        for number in range(processes)
    ]
    found = [json.loads(process.communicate()[0]) for process in each]
    return {"steps_per_second": sum(one["steps_per_second"] for one in found)}


def frames(env: str, copies: int, steps: int, processes: int, seconds: float) -> dict[str, float]:
    """Random play of the ray-caster: all images are drawn, and every pixel is read."""
    if processes:
        words = ["frames", "--env", env, "--copies", str(copies), "--steps", str(steps), "--seconds", str(seconds)]
        return in_processes(words, processes)
    made = build(env, AbstractEnv)

    @eqx.filter_jit
    def play(envs, key):
        _, envs, found, _ = rolled_out(made, RandomPolicy(made), (), envs, key, steps)
        return envs, jnp.sum(found.observation, dtype=jnp.uint32)

    envs = eqx.filter_jit(reset_envs)(made, copies, jax.random.key(0))

    def run():
        nonlocal envs
        envs, total = play(envs, jax.random.key(1))
        total.block_until_ready()

    took = median_seconds(run, seconds)
    return {"seconds": took, "steps_per_second": copies * steps / took}


def doom(scenario: str, processes: int, seconds: float) -> dict[str, float]:
    """Random play of ViZDoom, one engine in each process: its images in the size that an agent sees."""
    if processes:
        return in_processes(["doom", "--scenario", scenario, "--seconds", str(seconds)], processes)
    env: gymnasium.Env[Any, Any] = maker(scenario, None, {})()
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 1_000_000)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        *_, terminated, truncated, _ = env.step(actions[count % len(actions)])
        count += 1
        if terminated or truncated:
            env.reset()
    took = (time.perf_counter() - start) / count
    env.close()
    return {"seconds": took, "steps_per_second": 1 / took}


def configured(env: str, units: int, features: int, copies: int, rollout: int, epochs: int, minibatches: int) -> Config:
    """PPO with the network of RL²."""
    words = {"env": env, "encoder": f"Conv(features={features})", "cell": f"GRU({units})", "shared_memory": True}
    sizes = {"num_envs": copies, "window": rollout, "epochs": epochs, "minibatches": minibatches}
    return configure("ppo", **words, **sizes, log_every=1)


def learning(seconds: float, **sizes: Any) -> dict[str, float]:
    """Updates of PPO."""
    program = configured(**sizes).program()
    running = program.init()

    def run():
        nonlocal running
        running = jax.block_until_ready(program.advance(running, 1, 0)[0])

    took = median_seconds(run, seconds)
    return {"seconds": took, "steps_per_second": sizes["copies"] * sizes["rollout"] / took}


def share(part: str, seconds: float, **sizes: Any) -> dict[str, float]:
    """The time of a part of an update alone: the images of a rollout; or convolutions or memory, forwards to act, and
    forwards and backwards in each epoch.
    """
    update, config = learning(seconds, **sizes)["seconds"], configured(**sizes)
    copies, rollout, epochs = (sizes[name] for name in ("copies", "rollout", "epochs"))
    made = build(sizes["env"], AbstractEnv)
    network = config.build().network(made, key=jax.random.key(0))
    images = jnp.zeros((copies, *made.observation_space.shape), jnp.uint8)
    state = jax.vmap(made.reset)(jax.random.split(jax.random.key(0), copies))

    def repeated(function, times):
        """The seconds of `times` calls of a function of a number, in a loop of one program."""
        looped = eqx.filter_jit(lambda: jax.lax.fori_loop(0, times, lambda at, total: total + function(at), 0.0))
        return median_seconds(lambda: looped().block_until_ready(), seconds / 4)

    def drawn(at):
        moved = eqx.tree_at(lambda state: state.position, state, state.position + 1e-6 * at)
        return jnp.sum(jax.vmap(made.observe)(moved), dtype=jnp.uint32).astype(float)

    def encoded(encoder, at):
        seen = images + at.astype(jnp.uint8)
        return jnp.sum(jax.vmap(encoder)(seen))

    def remembered(memory, at):
        first, x = jnp.zeros((1, copies), bool), jnp.full((1, copies, sizes["features"]), 1e-3 * at)
        before = jax.tree.map(lambda leaf: jnp.zeros((copies, *leaf.shape)), memory.initial())
        return jnp.sum(unroll(memory, before, first, x, jnp.ones(first.shape))[1])

    def backwards(function, model):
        def one(at):
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(eqx.filter_grad(function)(model, at)))

        return one

    if part == "rendering":
        took = repeated(drawn, rollout)
    else:
        function, model = {"convolutions": (encoded, network.encoder), "memory": (remembered, network.memory)}[part]
        took = repeated(functools.partial(function, model), rollout)
        took += repeated(backwards(function, model), epochs * rollout)
    return {"seconds": took, "share": took / update}


if __name__ == "__main__":
    network = {"units": 256, "features": 256, "copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4}
    answer(
        {
            "frames": (frames, {"env": "Maze()", "copies": 64, "steps": 200, "processes": 2, "seconds": 10.0}),
            "doom": (doom, {"scenario": "maze", "processes": 2, "seconds": 10.0}),
            "learning": (learning, {"env": "Maze()", **network, "seconds": 20.0}),
            "share": (share, {"part": "rendering", "env": "Maze()", **network, "seconds": 20.0}),
        },
        "farback",
        "jax",
        "vizdoom",
    )
