"""Deep advantage updating with a memory, over time steps."""

from collections.abc import Sequence

from farback.papers.dau.agents import EPISODES, SEED, World, dau
from farback.papers.engine.item import Case
from farback.papers.engine.runs import Words, configured, evaluation, metrics
from farback.runs.config import configure

HIDDEN = World("PreviousActionReward(Pendulum(dt={dt}, speeds=False))", 0.05)
COPIES = Words(num_envs=64, window=40, gradient_steps=50, buffer_size=500_000)
STEPS = 2048
"""The steps of a gradient step, in windows."""


def remembering(steps: Sequence[float], hours: float, seconds: float, units: int, seeds: int) -> list[Case]:
    """DAU on Pendulum without speeds, without a memory and with two initialisations of one.

    **Arguments:**

    - `seconds`: the duration of a window, and the longest dependency that chrono gates begin with.
    """

    def case(name: str, cell: str, dt: float) -> Case:
        length = round(seconds / dt)
        sizes = Words(sequence_length=length, batch_size=max(1, STEPS // length), learning_starts=64 * (length + 1))
        words = dau(HIDDEN, dt) | COPIES | sizes | Words(cell=cell, advantage_size=units, seed=SEED, seeds=seeds)
        updates = max(2, round(3600 * hours / (dt * COPIES["num_envs"] * COPIES["window"])))
        evaluate = metrics(EPISODES, configure(**words | Words(env=HIDDEN.at(dt, dt / HIDDEN.usual))).build())
        return Case(f"{dt:g}: {name}", evaluation(configured(updates=updates, rows=50, **words), evaluate))

    layer = f"MLP({units}, layers=1, layer_norm=True)"
    cells = {
        "chrono gates": lambda dt: f"Chain(GRU({units}, gates=Chrono({seconds / dt:g})), {layer})",
        "usual gates": lambda dt: f"Chain(GRU({units}), {layer})",
        "no memory": lambda dt: f"Chain({layer}, {layer})",
    }
    return [case(name, cell(dt), dt) for name, cell in cells.items() for dt in steps]
