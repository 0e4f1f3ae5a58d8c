"""RL² in mazes that are seen from within: the trained agent, scripted players, and the ways that they go."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from farback.acting import AbstractPolicy, Trajectory, reset_envs, rollout, watch
from farback.acting.rollout import initial_states
from farback.envs import AbstractEnv, Maze, PreviousActionReward, Trials
from farback.envs.raycast.players import Player, at_random, left_wall, play_trials, shortest_way
from farback.papers.engine.item import Case, Measure, Measured, Metric, Place
from farback.papers.engine.runs import Training, Words, clipped_adam, computed, configured, evaluation, log, rows_of
from farback.reports.figures import figure
from farback.reports.record import Record
from farback.runs.expressions import express
from farback.runs.log import Row
from farback.runs.saved import LoadedRun, evaluation_key

LENGTH, SUCCESS = Metric("charts/length", "steps of an episode that succeeds"), Metric("charts/success", "share")
SHORTER = Metric("charts/shorter", "share")
EPISODE = "episode"
"""The column of the episode of a trial, from 1."""
TRAINED, TESTED = 2, 5
"""The episodes of a trial in training, and in a test."""
GROUPS = 5
"""The groups of trials of a scripted player that an interval is over."""
SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""


class Effort(NamedTuple):
    """The network, as an encoder of pictures and the units of the memory; the trials that are acted in parallel, the
    updates, and the seeds.
    """

    pictures: str
    units: int
    trials: int
    updates: int
    seeds: int


def shown(maze: AbstractEnv, episodes: int) -> PreviousActionReward:
    """Trials of an environment as the agent sees them."""
    return PreviousActionReward(Trials(maze, episodes), none=False)


def trained(maze: Maze, effort: Effort) -> Training:
    """PPO on trials of two episodes, with windows of the longest trial."""
    words = Words(algorithm="ppo", env=express(shown(maze, TRAINED)), shared_memory=True, cell=f"GRU({effort.units})")
    words |= {"encoder": f"DictEncoder(observation=DictEncoder(observation={effort.pictures}))"}
    words |= {"num_envs": effort.trials, "window": TRAINED * maze.horizon, "minibatches": 8, "epochs": 3}
    words |= {"gamma": 0.99, "gae_lambda": 0.95, "entropy_coef": f"LinearSchedule(0.03, 0.003, {effort.updates})"}
    words |= {"optimizer": clipped_adam(1e-3, 0.5, 24 * effort.updates), "seed": SEED, "seeds": effort.seeds}
    return configured(updates=effort.updates, **words)


class Episodes(NamedTuple):
    """The length of each episode of trials, and whether the target was found in it."""

    lengths: Int[Array, "trials episodes"]
    found: Bool[Array, "trials episodes"]


def episodes_of(steps: Trajectory) -> Episodes:
    """The episodes of the first trial in each copy of `shown(maze, 5)`."""
    number = jnp.cumsum(steps.observation["observation"]["ended"][..., 0], axis=1)
    counted = jnp.cumsum(steps.last, axis=1) == 0
    inside = (number[..., None] == jnp.arange(TESTED)) & counted[..., None]
    return Episodes(jnp.sum(inside, axis=1), jnp.any(inside & (steps.reward > 0.5)[..., None], axis=1))


@eqx.filter_jit
def tried(maze: Maze, policy: AbstractPolicy, trials: int, key: Any) -> Episodes:
    """The episodes of a policy."""
    reset_key, key = jax.random.split(key)
    env = shown(maze, TESTED)
    envs = reset_envs(env, trials, reset_key)
    return episodes_of(rollout(env, policy, initial_states(policy, trials), envs, key, TESTED * maze.horizon)[2])


def rows(episodes: Episodes, at: Row) -> list[Row]:
    """A row for each episode of the trials, with the columns `at`. The second has the share of trials in which it was the
    shorter one.
    """
    lengths, found = np.asarray(episodes.lengths), np.asarray(episodes.found)
    where = np.where(found, lengths, np.nan)
    each = [
        at | {EPISODE: number + 1, LENGTH.name: mean, SUCCESS.name: float(success)}
        for number, (mean, success) in enumerate(zip(_means(where), found.mean(axis=0), strict=True))
    ]
    each[1][SHORTER.name] = float((lengths[:, 1] < lengths[:, 0]).mean())
    return each


def _means(where: np.ndarray) -> list[float | None]:
    """The mean of each column over what is known, or `None`."""
    known = np.isfinite(where)
    return [float(column[known].mean()) if known.any() else None for column, known in zip(where.T, known.T, strict=True)]


def measures(maze: Maze, test: Maze, effort: Effort, trials: int, name: str) -> dict[str, Measure]:
    """RL² and scripted players in mazes that were not trained on.

    **Arguments:**

    - `maze`, `test`: the mazes of training, and those of the test.
    - `trials`: the trials of each seed, or of a group.
    - `name`: the name of the test in the directory of the run.
    """
    test = test.eval_env

    def agent(run: LoadedRun) -> list[Row]:
        each = rows_of(run, {seed: {} for seed in run.networks()})
        keys = ((at, evaluation_key(at["seed"])) for at in each)
        return [row for at, key in keys for row in rows(tried(test, run.policy(at["seed"]), trials, key), at)]

    def player(players: Sequence[Player], place: Place) -> tuple[list[Row], str]:
        del place
        found = []
        for group in range(GROUPS):
            played = play_trials(test, players, trials, jax.random.key(group))
            at = {"seed": group, "update": 0, "step": 0}
            found += rows(Episodes(played.lengths, played.terminated), at)
        return found, ""

    learnt = evaluation(trained(maze, effort), agent, name=name)
    players = {"random": (at_random(test),) * TESTED}
    if (test.stride, test.turn) == (1, 90):
        players |= {"left wall": (left_wall,) * TESTED, "shortest way": (shortest_way,) * TESTED}
        players |= {"left wall, then shortest way": (left_wall,) + (shortest_way,) * (TESTED - 1)}
    scripted = {row: computed(partial(player, each)) for row, each in players.items()}
    measured: dict[str, Measure] = {"RL²": lambda place: learnt(place.of("RL²"))}
    return measured | {row: lambda place, row=row: scripted[row](place.of(f"{name}, {row}")) for row in scripted}


def by_episode(maze: Maze, test: Maze, effort: Effort, trials: int, name: str) -> list[Case]:
    """A column for each episode of a trial."""

    def only(measure: Measure, episode: int, place: Place) -> Measured:
        measured = measure(place)
        return measured._replace(rows=[row for row in measured.rows if row[EPISODE] == episode])

    each = measures(maze, test, effort, trials, name)
    return [
        Case(f"episode {episode}: {row}", partial(only, measure, episode))
        for row, measure in each.items()
        for episode in range(1, TESTED + 1)
    ]


def shorter(maze: Maze, test: Maze, effort: Effort, trials: int, name: str) -> list[Case]:
    """The share of trials whose second episode is shorter than the first."""

    def second(measure: Measure, place: Place) -> Measured:
        measured = measure(place)
        return measured._replace(rows=[row for row in measured.rows if SHORTER.name in row])

    return [Case(row, partial(second, measure)) for row, measure in measures(maze, test, effort, trials, name).items()]


def curves(maze: Maze, effort: Effort) -> list[Case]:
    """The log of training."""
    return [Case("RL²", log(trained(maze, effort)))]


WALLS, X, Y = "walls", "x", "y"
"""The columns of a way: the maze, as rows of # and ., with T at the target; and the place of the agent."""


def ways(maze: Maze, effort: Effort, worlds: int) -> list[Case]:
    """The ways of the first seed in some mazes that were not trained on."""
    test = maze.eval_env
    env = shown(test, TRAINED)
    seen = eqx.filter_jit(lambda policy, key: watch(env, policy, key, TRAINED * test.horizon + 1))

    def of(run: LoadedRun) -> list[Row]:
        policy, found = run.policy(), []
        for world in range(worlds):
            watched = seen(policy, jax.random.fold_in(evaluation_key(SEED), world))
            state = jax.tree.map(np.asarray, watched.world.state)
            steps = int(np.argmax(watched.steps.last)) or TRAINED * test.horizon
            walls = _walls(state.state.world)
            for step in range(steps):
                x, y = state.state.position[step].tolist()
                row = {"seed": world, "update": step, "step": step, EPISODE: int(state.episodes[step]) + 1, X: x, Y: y}
                found.append(row | ({WALLS: walls} if step == 0 else {}))
            found[-1][LENGTH.name] = float((state.episodes[:steps] == 1).sum())
        return found

    return [Case("RL²", evaluation(trained(maze, effort), of, name="ways"))]


def _walls(world: Any) -> list[str]:
    rows = [["#" if block else "." for block in row] for row in world.grid[0].tolist()]
    column, row = world.target[0].tolist()
    rows[row][column] = "T"
    return ["".join(row) for row in rows]


def draw_ways(records: Sequence[Record]) -> Any:
    """Draws the way of each episode in each world, a column for each world."""
    (record,) = records
    worlds = sorted({row["seed"] for row in record.rows})
    picture, axes = figure(2.0 * len(worlds), 2.2 * TRAINED)
    axes.remove()
    panels = picture.subplots(TRAINED, len(worlds), squeeze=False)
    for column, world in enumerate(worlds):
        here = [row for row in record.rows if row["seed"] == world]
        walls = next(row[WALLS] for row in here if WALLS in row)
        shades = np.array([[{"#": 0.7, ".": 0.0, "T": 0.35}[block] for block in row] for row in walls])
        for episode, panel in enumerate(panels[:, column], 1):
            way = np.array([[row[X], row[Y]] for row in here if row[EPISODE] == episode]).reshape(-1, 2)
            panel.imshow(shades, cmap="Greys", vmin=0, vmax=1, extent=(0, len(shades), len(shades), 0))
            panel.plot(*way.T, marker=".", markersize=3)
            panel.plot(*way[:1].T, marker="o")
            panel.set_title(f"episode {episode}: {len(way)} steps", fontsize="small")
            panel.axis("off")
    return picture
