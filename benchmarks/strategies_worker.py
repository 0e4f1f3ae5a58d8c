"""Strategies: trials per second, of ours and of the usual NumPy loop over trials."""

import jax
import numpy as np
from worker import answer, median_seconds

from farback.envs import AbstractEnv, Bandit, TabularMDP
from farback.runs.kinds import build
from farback.strategies import AbstractStrategy, score


def together(env: str, strategy: str, episodes: int, trials: int, seconds: float) -> dict[str, float]:
    """Farback: thousands of trials in one compiled program."""
    made, player = build(env, AbstractEnv), build(strategy, AbstractStrategy)
    ready = player.ready(made, episodes)

    def run():
        return score(made, ready, episodes, trials, key=jax.random.key(0)).block_until_ready()

    took = median_seconds(run, seconds)
    return {"seconds": took, "trials_per_second": trials / took, "mean": float(run().sum(1).mean())}


def one_by_one(env: str, strategy: str, episodes: int, trials: int, seconds: float) -> dict[str, float]:
    """NumPy: an object for each trial, and a loop over its steps."""
    random = np.random.default_rng(0)
    kind, strategy = env.partition("(")[0], strategy.partition("(")[0]
    play = {"Bandit": _pull, "TabularMDP": _explore}[kind]
    total = 0.0

    def run():
        nonlocal total
        total = sum(play(build(env, AbstractEnv), strategy, episodes, random) for _ in range(trials))

    took = median_seconds(run, seconds, least=1)
    return {"seconds": took, "trials_per_second": trials / took, "mean": total / trials}


def _pull(env: Bandit, strategy: str, episodes: int, random: np.random.Generator) -> float:
    """Thompson sampling, or UCB1 with c = 0.2."""
    chances = random.uniform(size=env.arms)
    wins, losses = np.ones(env.arms), np.ones(env.arms)
    total = 0.0
    for _ in range(episodes):
        if strategy == "Thompson":
            values = random.beta(wins, losses)
        else:
            pulls = wins + losses
            values = wins / pulls + 0.2 * np.sqrt(np.log(pulls.sum()) / pulls)
        arm = int(random.choice(np.flatnonzero(values == values.max())))
        paid = float(random.uniform() < chances[arm])
        wins[arm] += paid
        losses[arm] += 1 - paid
        total += paid
    return total


def _explore(env: TabularMDP, strategy: str, episodes: int, random: np.random.Generator) -> float:
    """Posterior sampling: a plan for one drawn world per episode."""
    assert strategy == "Thompson"
    states, actions = env.states, env.actions
    transitions = random.dirichlet(np.ones(states), (states, actions))
    rewards = env.mean + env.spread * random.normal(size=(states, actions))
    counts = np.ones((states, actions, states))
    means, precision = np.full((states, actions), env.mean), np.full((states, actions), env.spread**-2)
    total = 0.0
    for _ in range(episodes):
        drawn = np.array([[random.dirichlet(row) for row in rows] for rows in counts])
        worth = means + random.normal(size=means.shape) / np.sqrt(precision)
        table, best = [], np.zeros(states)
        for _ in range(env.horizon):
            values = worth + drawn @ best
            table.insert(0, values)
            best = values.max(1)
        place = 0
        for time, values in enumerate(table):
            action = int(values[place].argmax())
            reward = rewards[place, action] + env.noise * random.normal()
            following = int(random.choice(states, p=transitions[place, action]))
            precision[place, action] += env.noise**-2
            means[place, action] += (reward - means[place, action]) * env.noise**-2 / precision[place, action]
            if time < env.horizon - 1:
                counts[place, action, following] += 1
            total += reward
            place = following
    return total


if __name__ == "__main__":
    sizes = {"env": "Bandit(10)", "strategy": "Thompson()", "episodes": 100, "seconds": 5.0}
    cases = {"together": (together, {**sizes, "trials": 10_000}), "one-by-one": (one_by_one, {**sizes, "trials": 100})}
    answer(cases, "farback", "jax", "numpy")
