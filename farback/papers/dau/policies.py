"""Pictures of the value and of the policy of Pendulum over training (figures 8.1, A.1 and A.2)."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from farback.envs.pendulum import MAX_VELOCITY
from farback.papers.dau.agents import PENDULUM, dau, rivals, trained
from farback.papers.engine.item import Case
from farback.papers.engine.runs import evaluation, rows_of
from farback.reports.figures import figure
from farback.reports.record import Record
from farback.runs.log import Row
from farback.runs.saved import LoadedRun

VALUE, ACTION, MINUTES = "charts/value", "charts/action", "minutes"
SHOWN = ("DAU", "DDPG, unscaled")


def policies(steps: Sequence[float], minutes: float, stages: int, cell: str, units: int, size: int) -> list[Case]:
    """The value and the action of each angle and velocity, after equal parts of `minutes` of all copies together.

    **Arguments:**

    - `size`: the number of angles, and of velocities.
    """

    def case(name: str, dt: float) -> Case:
        words = {"DAU": dau(PENDULUM, dt), **rivals(PENDULUM, dt)}[name]
        training = trained(words, dt, minutes / 60, cell, units, 1)

        def measure(run: LoadedRun) -> list[Row]:
            return pictures(run, size, round(minutes * run.facts["update"] / training.updates, 1))

        return Case(f"{name}, δt = {dt:g}", evaluation(training, measure, stages))

    return [case(name, dt) for name in SHOWN for dt in steps]


def pictures(run: LoadedRun, size: int, minutes: float) -> list[Row]:
    """The value and the action of each angle and velocity, a row each."""
    ((seed, network),) = run.networks().items()
    agent: Any = run.algorithm
    angles, velocities = (
        grid.ravel()
        for grid in jnp.meshgrid(jnp.linspace(-math.pi, math.pi, size), jnp.linspace(-MAX_VELOCITY, MAX_VELOCITY, size))
    )

    @eqx.filter_jit
    def found(network: Any, angle: Float[Array, " states"], velocity: Float[Array, " states"]) -> tuple[Array, Array]:
        policy = agent.policy(network)

        def one(angle, velocity):
            seen = jnp.stack([jnp.cos(angle), jnp.sin(angle), velocity])
            _, action, extras = policy(policy.initial(), seen, True, jax.random.key(0))
            return extras.value, action[0]

        return jax.vmap(one)(angle, velocity)

    each = zip(*map(np.asarray, (angles, velocities, *found(network, angles, velocities))), strict=True)
    names = ("angle", "velocity", VALUE, ACTION)
    rows = [{MINUTES: minutes, **{name: float(number) for name, number in zip(names, row, strict=True)}} for row in each]
    return [found | row for row in rows for found in rows_of(run, {seed: {}})]


def draw_policies(records: Sequence[Record]) -> Any:
    """Draws, for each run, its values in one row and its actions in the next; a column for each time."""
    times = sorted({round(row[MINUTES]) for record in records for row in record.rows})
    picture, axes = figure(1.5 * len(times) + 1.4, 1.35 * 2 * len(records) + 0.6)
    axes.remove()
    panels = picture.subplots(2 * len(records), len(times), squeeze=False, sharex=True, sharey=True)
    for index, record in enumerate(records):
        for column, time in enumerate(times):
            rows = [row for row in record.rows if round(row[MINUTES]) == time]
            side = math.isqrt(len(rows))
            for offset, (metric, colours) in enumerate(((VALUE, "viridis"), (ACTION, "RdBu"))):
                panel = panels[2 * index + offset, column]
                panel.imshow(
                    np.array([row[metric] for row in rows]).reshape(side, side),
                    **{"cmap": colours, "origin": "lower", "aspect": "auto"},
                    extent=(-180, 180, -MAX_VELOCITY, MAX_VELOCITY),
                )
                panel.grid(False)
                panel.tick_params(labelsize="x-small")
                if column == 0:
                    words = [*record.name.split(", "), metric.partition("/")[2]]
                    panel.set_ylabel("\n".join(words), fontsize="x-small")
                if index == 0 and offset == 0:
                    panel.set_title(f"{time} minutes", fontsize="small")
    picture.supxlabel("angle from upright, degrees; vertical: angular velocity", fontsize="small")
    return picture
