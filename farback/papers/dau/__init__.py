"""Making deep Q-learning methods robust to time discretization; Tallec, Blier and Ollivier, 2019."""

from collections.abc import Mapping, Sequence
from functools import partial

from farback.papers.dau.theory import ADVANTAGE, PARAMETER, SPREAD, collapse, exploration, learning_rates
from farback.papers.engine.item import RETURN, Case, Item, Metric
from farback.papers.engine.runs import Words, configured, evaluation, metrics
from farback.reports.grid import draw_grid
from farback.runs.config import configure

TITLE = "Deep advantage updating"
SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
REFERENCE = 0.02
"""The time step whose learning rates, rewards and noise the unscaled forms have."""
EPISODES = 64
"""The episodes of an evaluation."""
COPIES = Words(num_envs=256, window=10, gradient_steps=50, batch_size=256, buffer_size=1_000_000, learning_starts=2_560)

PENDULUM, CARTPOLE = "Pendulum(dt={})", "CartPole(dt={})"
SHOWN = {PENDULUM: 0.05, CARTPOLE: 0.02}
"""The time steps of Gymnasium. Returns are shown as there, whatever the time step is."""


def dau(env: str, dt: float) -> Words:
    """Deep advantage updating."""
    return Words(algorithm="dau", env=f"PerSecond({env.format(dt)})", value_learning_rate=0.1, policy_learning_rate=0.02)


def q_learning(env: str, dt: float, smoothing: float, rates: float, noise: float) -> Words:
    """DDPG or, for discrete actions, DQN, with the rates of learning and rewards, and the noise, of given time steps."""

    def rmsprop(rate: float) -> str:
        return f"rmsprop({rate * rates:g}, decay={1 - rates:g}, eps_in_sqrt=False)"

    words = Words(
        env=f"PerSecond({env.format(dt)}, {rates:g})", gamma=0.8**dt, sequence_length=1, target_rate=1 - smoothing
    )
    words |= Words(exploration=f"OrnsteinUhlenbeck(7.5, 1.5, {noise:g}, reset=False)", optimizer=rmsprop(0.1))
    if env == CARTPOLE:
        return words | Words(algorithm="dqn", double=False)
    return words | Words(algorithm="ddpg", policy_optimizer=rmsprop(0.02), critic_layer_norm=True)


def rivals(env: str, dt: float) -> Mapping[str, Words]:
    """The forms of Q-learning."""
    name = "DQN" if env == CARTPOLE else "DDPG"
    return {
        f"{name}, unscaled": q_learning(env, dt, 0.9, REFERENCE, REFERENCE),
        f"{name}, unscaled, no target network": q_learning(env, dt, 0.0, REFERENCE, REFERENCE),
        f"{name}, unscaled but its noise": q_learning(env, dt, 0.9, REFERENCE, dt),
        f"{name}, scaled": q_learning(env, dt, 0.9, dt, dt),
    }


def over_time_steps(env: str, steps: Sequence[float], hours: float, cell: str, units: int, seeds: int) -> list[Case]:
    """Every algorithm with every time step, for as many physical hours of all copies together."""

    def case(name: str, words: Words, dt: float) -> Case:
        updates = max(2, round(3600 * hours / (dt * COPIES["num_envs"] * COPIES["window"])))
        sizes = {"dau": "advantage_size", "ddpg": "critic_size"}
        words = COPIES | words | Words(cell=cell, seed=SEED, seeds=seeds)
        if words["algorithm"] in sizes:
            words |= {sizes[words["algorithm"]]: units}
        shown = words | Words(env=f"PerSecond({env.format(dt)}, {dt / SHOWN[env]:g})")
        evaluate = metrics(EPISODES, configure(**shown).build())
        return Case(f"{dt:g}: {name}", evaluation(configured(updates=updates, rows=50, **words), evaluate))

    each = {dt: {"DAU": dau(env, dt), **rivals(env, dt)} for dt in steps}
    return [case(name, each[dt][name], dt) for name in each[steps[0]] for dt in steps]


# fmt: off
STEPS = (0.01, 0.005, 0.002, 0.001, 0.0005)
NETWORK = {"cell": ("MLP(8, layers=1)", "MLP(64, layer_norm=True)", "MLP(256, layer_norm=True)"), "units": (8, 64, 256),
           "seeds": (1, 5, 5)}

ITEMS = [
    Item("dau/pendulum", "Pendulum over time steps (fig. 8.2)",
        "The return of the policy without noise, in 10 seconds and in Gymnasium's units, after 0.4 hours of all 256 copies "
        "together. Columns: the time step. Networks have 64 units (256 at the paper's scale). Unscaled: learning rates, "
        "rewards and noise are those of a time step of 0.02, as in the authors' code; the discount is always scaled. "
        "DDPG's target network moves by a tenth at each gradient step.",
        partial(over_time_steps, PENDULUM), {"steps": ((0.05, 0.02), STEPS, STEPS), "hours": (0.03, 0.4, 1.78), **NETWORK},
        minutes=(2, 120, 1500), metric=RETURN, smoke=(0, 3), across=draw_grid),
    Item("dau/cartpole", "A pole over time steps (fig. 8.2)",
        "The same, with discrete actions, after one hour. The noise is added to the advantages or to the action values.",
        partial(over_time_steps, CARTPOLE), {"steps": ((0.02, 0.01), (0.01, 0.005, 0.002), STEPS),
        "hours": (0.03, 1.0, 3.55), **NETWORK | {"seeds": (1, 3, 5)}},
        minutes=(2, 100, 1500), metric=RETURN, smoke=(0, 3), across=draw_grid),
    Item("dau/exploration", "Exploration and the time step (theorem 4)",
        "The standard deviation of the position after one second of the dynamics dx/dt = a around a policy that stands "
        f"still. ε-greedy with ε = {0.5} draws an action in [−1, 1] at half of the steps. In parentheses: the prediction, "
        "√(ε δt / 3) for ε-greedy, which averages out.",
        exploration, {"steps": ((0.1,), (0.1, 0.01, 0.001), (0.1, 0.01, 0.001)), "runs": (100, 10_000, 10_000)},
        minutes=(1, 1, 1), metric=Metric(SPREAD, "standard deviation")),
    Item("dau/collapse", "Values of actions and the time step (theorems 2 and 3)",
        "Q − V, and the advantage (Q − V) / δt, by rollouts of the policy a = −s in the linear-quadratic problem ds/dt = a "
        "with the reward rate −(s² + a²) and γ = 0.8, at s = 1 and a = 0.5. In parentheses: δt A and A of continuous time.",
        collapse, {"steps": ((0.1,), (0.1, 0.01, 0.001), (0.1, 0.01, 0.001))},
        minutes=(1, 1, 1), metric=Metric(ADVANTAGE, "difference of values")),
    Item("dau/learning-rates", "Learning rates and the time step (theorem 5)",
        "log θ of the value θ s on the trajectory s = sin t without rewards, with learning rates δt^β: after one second "
        "for β >= 1; for β = ½ after δt^(−7/8) steps, a physical time that tends to 0 with δt. In parentheses: the "
        "limit of continuous time, or the leading term.",
        learning_rates, {"steps": ((0.1,), (1e-2, 1e-3, 1e-4, 1e-5), (1e-2, 1e-3, 1e-4, 1e-5))},
        minutes=(1, 1, 1), metric=Metric(PARAMETER, "log θ")),
]
