"""The theorems of chapter 8, and figure 6.2, as numbers beside their predictions."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from farback.agents import AbstractExploration, EpsilonGreedy, OrnsteinUhlenbeck
from farback.envs import Detour, Pusher
from farback.papers.dau.agents import SEED
from farback.papers.engine.item import Case, Place
from farback.papers.engine.runs import computed, configured, evaluation, metrics
from farback.runs.log import Row

SPREAD, ADVANTAGE, PARAMETER = "charts/spread", "charts/advantage", "charts/parameter"
EPSILON, THETA, SIGMA = 0.5, 7.5, 0.5


def exploration(steps: Sequence[float], runs: int) -> list[Case]:
    """The spread of the positions after one second that exploration brings about around a policy that stands still."""
    integral = 1 + 2 * math.expm1(-THETA) / THETA - math.expm1(-2 * THETA) / (2 * THETA)
    correlated = SIGMA / THETA * math.sqrt(integral)
    cases = []
    for dt in steps:
        greedy = math.sqrt(EPSILON * dt / 3)  # Uniform actions in [−1, 1] have variance 1/3.
        each = {
            "ε-greedy": (EpsilonGreedy(EPSILON), greedy),
            "Ornstein-Uhlenbeck": (OrnsteinUhlenbeck(THETA, SIGMA, dt), correlated),
        }
        for name, (explore, predicted) in each.items():
            cases.append(Case(f"{name}, δt = {dt:g}", computed(partial(_spread, explore, dt, runs)), predicted))
    return cases


def _spread(explore: AbstractExploration, dt: float, runs: int, place: Place) -> tuple[list[Row], str]:
    del place
    env = Pusher(dt=dt, seconds=1.0)
    # EpsilonGreedy, which has no state, refuses to begin in a space where it does not work.
    begun = () if isinstance(explore, EpsilonGreedy) else explore.initial(env.action_space)

    @jax.jit
    def one(key: Array) -> Float[Array, ""]:
        def step(carried, key):
            state, noise = carried
            noise, action = explore(env.action_space, noise, jnp.zeros(1), False, key)
            return (env.step(state, action, key)[0], noise), None

        begin = env.reset(key)._replace(position=jnp.zeros(())), begun
        (state, _), _ = jax.lax.scan(step, begin, jax.random.split(key, env.max_episode_steps))
        return state.position

    positions = jax.vmap(one)(jax.random.split(jax.random.key(0), runs))
    return _rows(SPREAD, float(jnp.std(positions))), ""


GAIN, DISCOUNT, STATE, ACTION, LASTS = 1.0, 0.8, 1.0, 0.5, 60.0
"""The policy a = −k s, γ, the state and the action where values are compared, and the seconds of a rollout."""


def collapse(steps: Sequence[float]) -> list[Case]:
    """Q − V and (Q − V) / δt of an action in the linear-quadratic problem ds/dt = a with the reward rate −(s² + a²)."""
    value = -(1 + GAIN**2) / (2 * GAIN - math.log(DISCOUNT))  # V(s) = value · s²
    limit = -(STATE**2 + ACTION**2) + math.log(DISCOUNT) * value * STATE**2 + 2 * value * STATE * ACTION
    cases = [Case(f"Q − V, δt = {dt:g}", computed(partial(_advantage, dt, dt)), dt * limit) for dt in steps]
    return cases + [Case(f"(Q − V) / δt, δt = {dt:g}", computed(partial(_advantage, dt, 1.0)), limit) for dt in steps]


def _advantage(dt: float, factor: float, place: Place) -> tuple[list[Row], str]:
    del place

    def returned(first: float) -> float:
        """The return of a rollout whose first action is given."""
        state, total, weight, action = STATE, 0.0, 1.0, first
        for _ in range(round(LASTS / dt)):
            total += weight * -(state**2 + action**2) * dt
            state, weight = state + action * dt, weight * DISCOUNT**dt
            action = -GAIN * state
        return total

    return _rows(ADVANTAGE, factor * (returned(ACTION) - returned(-GAIN * STATE)) / dt), ""


STAYS, SEEDS = 100.0, 5
"""The return of a policy that never leaves, and the number of seeds."""
RATE, TIME = 1.0, 1.0
"""α, and the seconds after which parameters are compared."""


def learning_rates(steps: Sequence[float]) -> list[Case]:
    """Log θ of the value θ s on the trajectory s = sin t without rewards, for learning rates α δt^β; θ begins at 1."""
    cases = []
    for beta in (1.5, 1.0, 0.5):
        for dt in steps:
            # β < 1: after K = ⌊δt^(−(β + 3) / 4)⌋ steps, a physical time that tends to 0.
            count = round(TIME / dt) if beta >= 1 else math.floor(dt ** (-(beta + 3) / 4))
            name = f"β = {beta:g}, δt = {dt:g}"
            cases.append(Case(name, computed(partial(_parameter, beta, dt, count)), _predicted(beta, dt)))
    return cases


def _predicted(beta: float, dt: float) -> float:
    """The limit of log θ; for β < 1, its leading term (A.60, whose exponent should be (β − 1) / 2 and its factor α / 2)."""
    if beta > 1:
        return 0.0
    if beta == 1:
        return RATE * (math.log(DISCOUNT) * (TIME / 2 - math.sin(2 * TIME) / 4) + math.sin(TIME) ** 2 / 2)
    return RATE / 2 * dt ** ((beta - 1) / 2)


def _parameter(beta: float, dt: float, count: int, place: Place) -> tuple[list[Row], str]:
    del place
    states = np.sin(np.arange(count + 1) * dt)
    changes = RATE * dt**beta * (DISCOUNT**dt * states[1:] - states[:-1]) / dt * states[:-1]
    return _rows(PARAMETER, float(np.sum(np.log1p(changes)))), ""


def discounts(gammas: Sequence[float], steps: int) -> list[Case]:
    """The return of what Q-learning and SARSA learn with each discount in a `Detour` of 100 steps."""
    cases = []
    for name, on_policy in (("Q-learning", False), ("SARSA", True)):
        for gamma in gammas:
            words = {"env": "Detour()", "gamma": gamma, "on_policy": on_policy, "seeds": SEEDS, "seed": SEED}
            training = configured("tabular-q", updates=max(2, steps // 100), rows=10, **words)
            claim = STAYS if gamma < 0.5 else Detour().optimum
            cases.append(Case(f"{name}, γ = {gamma:g}", evaluation(training, metrics(1)), claim))
    return cases


def _rows(metric: str, value: float) -> list[Row]:
    return [{"update": 1, "step": 1, "seed": 0, metric: value}]
