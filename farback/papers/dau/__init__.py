"""Making deep Q-learning methods robust to time discretization; Tallec, Blier and Ollivier, 2019."""

from collections.abc import Sequence
from functools import partial

from farback.papers.dau.agents import ANT, CARTPOLE, CHEETAH, EPISODES, PENDULUM, WALKER, World, dau, rivals, sized, trained
from farback.papers.dau.policies import VALUE, draw_policies, policies
from farback.papers.dau.remembering import remembering
from farback.papers.dau.theory import (
    ADVANTAGE,
    EPSILON,
    PARAMETER,
    SPREAD,
    collapse,
    discounts,
    exploration,
    learning_rates,
)
from farback.papers.engine.item import RETURN, Case, Item, Metric
from farback.papers.engine.runs import Words, evaluation, metrics
from farback.reports.grid import draw_grid
from farback.runs.config import configure

TITLE = "Deep advantage updating"


def over_time_steps(
    world: World,
    steps: Sequence[float],
    hours: float,
    cell: str,
    units: int,
    seeds: int,
    physics: float = 0.0,
    only: Sequence[str] | None = None,
) -> list[Case]:
    """Every algorithm, or only some, with every time step, for the same physical hours of all copies together.

    **Arguments:**

    - `physics`: the seconds of a step of the physics of a body.
    """
    world = world.with_physics(physics)

    def case(name: str, words: Words, dt: float) -> Case:
        words = {**words, **world.words}
        shown = Words(env=world.at(dt, dt / world.usual))
        evaluate = metrics(EPISODES, configure(**sized(words, cell, units, seeds) | shown).build())
        return Case(f"{dt:g}: {name}", evaluation(trained(words, dt, hours, cell, units, seeds), evaluate))

    each = {dt: {"DAU": dau(world, dt), **rivals(world, dt)} for dt in steps}
    return [case(name, each[dt][name], dt) for name in only or each[steps[0]] for dt in steps]


# fmt: off
STEPS, DISCOUNTS = (0.01, 0.005, 0.002, 0.001, 0.0005), (0.3, 0.4, 0.6, 0.9)
NETWORK = {"cell": ("MLP(8, layers=1)", "MLP(64, layer_norm=True)", "MLP(256, layer_norm=True)"), "units": (8, 64, 256),
           "seeds": (1, 5, 5)}

ITEMS = [
    Item("dau/pendulum", "Pendulum over time steps (fig. 8.2)",
        "The return of the policy without noise, in 10 seconds and in Gymnasium's units, after 0.4 hours of all 256 copies "
        "together. Columns: the time step. Networks have 64 units (256 at the paper's scale). Unscaled: learning rates, "
        "rewards and noise are those of a time step of 0.02, as in the authors' code; the discount is always scaled. "
        "DDPG's target network moves by a tenth at each gradient step, or there is none.",
        partial(over_time_steps, PENDULUM, only=("DAU", "DDPG, unscaled", "DDPG, unscaled, no target network")),
        {"steps": ((0.05, 0.02), STEPS, STEPS), "hours": (0.03, 0.4, 1.78), **NETWORK},
        minutes=(2, 60, 900), metric=RETURN, smoke=(0,), across=draw_grid),
    Item("dau/switches", "What of DDPG is scaled by the time step",
        "Pendulum as above. Unscaled but its noise: the noise is that of the time step, and rewards and learning rates are "
        "those of 0.02. Scaled: all are those of the time step.",
        partial(over_time_steps, PENDULUM, only=("DDPG, unscaled but its noise", "DDPG, scaled")),
        {"steps": ((0.05, 0.02), (0.01, 0.002), STEPS), "hours": (0.03, 0.4, 1.78), **NETWORK},
        minutes=(2, 15, 600), metric=RETURN, smoke=(0,), across=draw_grid),
    Item("dau/cartpole", "A pole over time steps (fig. 8.2)",
        "The same, with discrete actions, after one hour. The noise is added to the advantages or to the action values.",
        partial(over_time_steps, CARTPOLE), {"steps": ((0.02, 0.01), (0.01, 0.005, 0.002), STEPS),
        "hours": (0.03, 1.0, 3.55), **NETWORK | {"seeds": (1, 3, 5)}},
        minutes=(2, 15, 400), metric=RETURN, smoke=(3,), across=draw_grid),
    *(
        Item(f"dau/{name}", f"{title} over time steps (fig. 8.2)",
            "The return of the policy without noise, in 10 seconds and in Gymnasium's units, after "
            f"{presets['hours'][1]:g} hours (`--scale laptop`) of all 256 copies together. Observations are normalised. "
            f"{text} Unscaled: as above.",
            partial(over_time_steps, world, only=("DAU", "DDPG, unscaled")), NETWORK | presets,
            minutes=(2, minutes, 50 * minutes), metric=RETURN, smoke=(0,), across=draw_grid)
        for name, title, text, world, minutes, presets in (
            ("bipedal", "Bipedal walker", "The penalty for a fall is a rate, as in the authors' code.", WALKER, 75,
             {"steps": ((0.02, 0.01), (0.01, 0.005), (0.01, 0.005, 0.002, 0.001)), "hours": (0.02, 6.0, 17.8),
              "seeds": (1, 2, 5)}),
            *((name, title, "The physics has the same time step in all columns.", world, minutes,
               {"steps": ((0.05, 0.02), (0.05, 0.02), (0.05, 0.02, 0.01, 0.005, 0.002)), "hours": (0.05, hours, 142.0),
                "physics": (0.01, 0.01, 0.001), "seeds": (1, 2, 5)})
              for name, title, world, hours, minutes in (
                  ("cheetah", "Half cheetah", CHEETAH, 20.0, 45), ("ant", "Ant", ANT, 8.0, 60))),
        )
    ),
    Item("dau/remembering", "Pendulum without speeds over time steps",
        "DAU with a memory: the return of the policy without noise, in 10 seconds, after two hours of all 64 copies. The "
        "agent observes the previous action and reward. Columns: the time step. Windows have 0.4 seconds. Chrono gates "
        "begin with dependencies of up to 0.4 seconds, the usual ones with those of a few steps. Not in the thesis, which "
        "suggests it (section 8.6).",
        remembering, {"steps": ((0.1, 0.05), (0.05, 0.02), (0.05, 0.02, 0.01, 0.005)), "hours": (0.02, 2.0, 3.0),
        "seconds": (0.4, 0.4, 0.4), "units": (4, 64, 64), "seeds": (1, 5, 5)},
        minutes=(1, 90, 800), metric=RETURN, smoke=(0,), across=draw_grid),
    Item("dau/policies", "Values and policies of Pendulum while they are learnt (figs. 8.1, A.1, A.2)",
        "The value and the action over the angle and the velocity, one seed, after 4 to 20 minutes of all copies together. "
        "The table has the mean value.",
        policies, {"steps": ((0.05,), (0.01, 0.0005), (0.01, 0.0005)), "minutes": (2.0, 20.0, 20.0), "stages": (2, 5, 5),
        "size": (5, 41, 41), "cell": NETWORK["cell"], "units": NETWORK["units"]},
        minutes=(1, 15, 60), metric=Metric(VALUE, "value"), draw=draw_policies),
    Item("dau/exploration", "Exploration and the time step (theorem 4)",
        "The standard deviation of the position after one second of dx/dt = a around a policy that stands "
        f"still. ε-greedy with ε = {EPSILON} draws an action in [−1, 1] at half of the steps. In parentheses: the "
        "prediction, √(ε δt / 3) for ε-greedy, which averages out.",
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
    Item("dau/discount", "The best policy depends on the discount (fig. 6.2)",
        "The return of what tabular Q-learning and SARSA learn in a decision process of two states, where a detour pays "
        "for γ > ½. In parentheses: the return of the policy that is best for γ.",
        discounts, {"gammas": ((0.3,), (0.3, 0.4, 0.6, 0.9), (0.3, 0.4, 0.6, 0.9)), "steps": (200, 20_000, 20_000)},
        minutes=(1, 1, 1), metric=RETURN, levels={"staying": 100.0, "leaving": 150.0}, smoke=(0,)),
]
