"""Off-policy agents with memory: DQN, QR-DQN and SAC from a replay, beside PPO."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from farback.envs import AbstractEnv, CartPole, Pendulum, TMaze
from farback.papers.engine.finals import steps_to
from farback.papers.engine.item import RETURN, Case, Item, Metric
from farback.papers.engine.runs import Words, clipped_adam, configured, evaluation, log, rows_of
from farback.runs.log import Row
from farback.runs.saved import LoadedRun

TITLE = "Off-policy agents with memory"
SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""

Effort = tuple[int, int, int]
"""Steps, seeds, and rows of the log."""

MORE = 4
"""How many times as many steps PPO has."""


def more(effort: Effort) -> Effort:
    """The effort with as many steps as PPO has."""
    return MORE * effort[0], effort[1], effort[2]


REPLAY = Words(num_envs=8, window=8, gradient_steps=4, batch_size=32, optimizer=clipped_adam(1e-3, 10.0))
PPO = Words(algorithm="ppo", num_envs=64, window=128, epochs=4, optimizer=clipped_adam(1e-3, 0.5))
R2D2 = Words(algorithm="dqn", prioritized=True, double=True, dueling=True, burn_in=4, n_step=3, value_rescaling=True)


def trained(name: str, effort: Effort, **words: Any) -> Case:
    """A run of an agent with a GRU."""
    steps, seeds, rows = effort
    updates = max(1, steps // (words["num_envs"] * words["window"]))
    usual = Words(cell="GRU(64)", seed=SEED, seeds=seeds)
    return Case(name, log(configured(updates=updates, rows=rows, **usual | words)))


MAZE = "TMaze(20)"
GREEDIER = "EpsilonGreedy(LinearSchedule(1.0, 0.02, 600))"


def maze(effort: Effort) -> list[Case]:
    """Discrete actions, and a hint that is needed 20 steps later; a window is a whole episode."""
    words = REPLAY | Words(env=MAZE, exploration=GREEDIER, sequence_length=21, learning_starts=2_000)
    return [
        trained("DQN", effort, **words, algorithm="dqn"),
        trained("R2D2", effort, **words | R2D2),
        trained("QR-DQN", effort, **words, algorithm="dqn", quantiles=8),
        trained("R2D2 with quantiles", effort, **words | R2D2, quantiles=8),
        trained("PPO", more(effort), **PPO, env=MAZE),
    ]


POLE, SWING = "CartPole(speeds=False)", "Pendulum(speeds=False)"
HIDDEN: Mapping[str, AbstractEnv] = {"pole": CartPole(speeds=False), "pendulum": Pendulum(speeds=False)}


def hidden(effort: Effort) -> list[Case]:
    """Speeds are not observed, so a memory must estimate them."""
    pole = REPLAY | Words(env=POLE, exploration=GREEDIER, sequence_length=16, learning_starts=2_000)
    swing = Words(env=SWING, algorithm="sac", num_envs=1, window=1, gradient_steps=1, learning_starts=1_000)
    swing |= Words(batch_size=32, sequence_length=16, burn_in=8, optimizer="adam(1e-3)")
    steps, seeds, rows = effort
    return [
        trained("pole: DQN", effort, **pole, algorithm="dqn"),
        trained("pole: R2D2", effort, **pole | R2D2),
        trained("pole: QR-DQN", effort, **pole, algorithm="dqn", quantiles=8),
        trained("pole: R2D2 with quantiles", effort, **pole | R2D2, quantiles=8),
        trained("pole: PPO", more(effort), **PPO | Words(entropy_coef=0.0), env=POLE),
        trained("pendulum: SAC", (max(2_000, steps // 10), seeds, rows), **swing),
        trained("pendulum: PPO", more(effort), **PPO | Words(gae_lambda=0.9, entropy_coef=0.0), env=SWING),
    ]


DISTANCE, RIGHT, WRONG = "charts/distance_of_quantiles", 4.0, -3.0
CORRIDOR = 3


def law(count: int) -> Float[Array, " count"]:
    """The quantiles of the return at the junction without a memory, +4 or −3 with equal probability.

    They minimise the loss of QR-DQN: −3 + τ / (1 − τ) for τ < ½, and 4 − (1 − τ) / τ otherwise, where τ = (i − ½) / count.
    """
    level = (jnp.arange(count) + 0.5) / count
    return jnp.where(level < 0.5, WRONG + level / (1 - level), RIGHT - (1 - level) / level)


def quantiles(effort: Effort, counts: Sequence[int]) -> list[Case]:
    """QR-DQN without a memory, and the distance of its quantiles at the junction from the law, mean |θ_i − law_i|."""

    def measure(run: LoadedRun) -> list[Row]:
        observation = jnp.array([0.0, 1.0, 0.0])

        @eqx.filter_jit
        def distance(network: Any) -> Float[Array, ""]:
            _, output = network.memory(network.memory.initial(), network.encoder(observation))
            found = jnp.sort(network.head(output), axis=-1)  # for each turn
            return jnp.mean(jnp.abs(found - law(found.shape[-1])))

        return rows_of(run, {seed: {DISTANCE: float(distance(network))} for seed, network in run.networks().items()})

    def case(count: int) -> Case:
        steps, seeds, rows = effort
        words = REPLAY | Words(algorithm="dqn", quantiles=count, exploration="EpsilonGreedy(1.0)", sequence_length=4)
        words |= Words(env=f"TMaze({CORRIDOR}, noise=False)", cell="MLP(64)", learning_starts=500, seed=SEED, seeds=seeds)
        words |= {"optimizer": clipped_adam(1e-3, 10.0, max(1, 4 * steps // 64))}
        training = configured(updates=max(1, steps // 64), rows=rows, **words)
        return Case(f"{count} quantiles", evaluation(training, measure))

    return [case(count) for count in counts]


def efforts(smoke: int, laptop: int, paper: int) -> tuple[Effort, Effort, Effort]:
    """The efforts at every scale."""
    return (smoke, 1, 2), (laptop, 5, 100), (paper, 10, 200)


def to_solve(item: Item, level: Callable[[str], float], text: str) -> Item:
    """The same runs, and the steps until they reach a level."""
    metric = Metric(RETURN.name, f"steps to {text}")
    shows = f"The same runs: the steps of all copies until the return reaches {text}."
    title = f"{item.title}: steps"
    return item._replace(
        name=f"{item.name}-steps", title=title, shows=shows, metric=metric, levels={}, final=steps_to(level), runs=item.name
    )


# fmt: off
MAZES = Item("off-policy/t-maze", "T-maze of 20 steps",
    "The return of training, exploration included, over the last tenth. DQN and QR-DQN draw windows of 21 steps from a "
    "replay; R2D2 adds priorities, a burn-in of 4 steps, targets of 3 steps, a duelling head and rescaled values to DQN "
    f"or, with quantiles, to QR-DQN. PPO acts in 64 copies, and has {MORE} times as many steps.",
    maze, {"effort": efforts(4_096, 200_000, 500_000)}, minutes=(1, 15, 100), metric=RETURN,
    levels={"optimum": TMaze(20).optimum, "memoryless": TMaze(20).memoryless}, smoke=(1, 2))
SPEEDS = Item("off-policy/cartpole", "A pole and a pendulum without speeds",
    "The return of training, exploration included, over the last tenth. The observation shows positions alone. "
    f"SAC has a tenth of the steps, and PPO {MORE} times as many.",
    hidden, {"effort": efforts(4_096, 300_000, 1_000_000)}, minutes=(1, 60, 400), metric=RETURN,
    levels={"optimum of the pole": CartPole(speeds=False).optimum}, smoke=(1, 5))

ITEMS = [
    MAZES, to_solve(MAZES, lambda name: 3.6, "3.6"),
    SPEEDS, to_solve(SPEEDS, lambda name: 450.0 if name.startswith("pole") else -250.0, "450 (pole) or −250 (pendulum)"),
    Item("off-policy/quantiles", "The quantiles of QR-DQN at a junction",
        "A policy without memory turns at the end of a corridor of three steps: the return is +4 or −3 with equal "
        "probability. The mean distance of the quantiles of both turns from those that minimise the loss for this law. "
        "Huber's loss puts these between −3 and 4, on average 0.33 to 0.39 from the nearer one.",
        quantiles, {"effort": efforts(1_024, 60_000, 200_000), "counts": ((2, 4), (2, 8, 32), (2, 8, 32, 128))},
        minutes=(1, 2, 30), metric=Metric(DISTANCE, "distance"), levels={"the law": 0.0}, smoke=(1,)),
]
