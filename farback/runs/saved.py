"""A run that was opened: its networks, policies and scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from farback.acting import AbstractPolicy, CompiledPolicy
from farback.agents.base import AbstractAgent
from farback.algorithm import AbstractAlgorithm, Timeline
from farback.envs.bridges.host import host_errors
from farback.runs.checkpoint import Checkpoints, Facts, check_record, read
from farback.runs.program import Program, ProgramState
from farback.step import Metrics, Model
from farback.types import InputError

Which = Literal["newest", "best"]
USUAL = {"steps": 100_000, "episodes": 1_000}
"""The amount of data that scores a network by default."""


class LoadedRun(NamedTuple):
    """A run at one of its checkpoints: the program, its state, and the checkpoint's facts."""

    program: Program
    state: ProgramState
    facts: Facts

    @property
    def algorithm(self) -> AbstractAlgorithm:
        """The algorithm of the run."""
        return self.program.algorithm

    def networks(self) -> dict[int, Model]:
        """Returns the network of each seed."""
        return {seed: self.program.network(self.state, index) for index, seed in enumerate(self.program.seeds)}

    def policy(self, seed: int | None = None) -> AbstractPolicy:
        """Returns the policy of an agent, compiled, to act in a loop of your own:

            state = policy.initial()
            state, action, extras = policy(state, observation, first, key)

        **Arguments:**

        - `seed`: the seed of the network; by default the run's first.
        """
        if not isinstance(self.algorithm, AbstractAgent):
            raise InputError(f"{type(self.algorithm).__name__} learns no policy: open the run of an agent.")
        network = self._network(self.program.seeds[0] if seed is None else seed)
        return CompiledPolicy(self.algorithm.split().policy(network))

    def evaluate(
        self, *, episodes: int | None = None, steps: int | None = None, algorithm: AbstractAlgorithm | None = None
    ) -> dict[int, Metrics]:
        """Returns the metrics of each seed's network on held-out data.

        **Arguments:**

        - `episodes`: the number of episodes for an agent or MemUP; 1,000 by default.
        - `steps`: the total time steps of all sequences of a task; 100,000 by default, rounded up to whole windows.
        - `algorithm`: what to evaluate on, such as the run's algorithm with another task.
        """
        algorithm = self.algorithm.split() if algorithm is None else algorithm
        unit, amounts = algorithm.evaluation_unit, {"episodes": episodes, "steps": steps}
        amount = amounts.pop(unit)
        for other, given in amounts.items():
            if given is not None:
                raise InputError(f"{other} = {given}: {type(algorithm).__name__} is scored over {unit}; give {unit}.")
        if amount is not None and amount < 1:
            raise InputError(f"{unit} = {amount}: give at least 1.")
        amount = USUAL[unit] if amount is None else amount
        with host_errors():
            each = self.networks().items()
            found = {seed: _evaluate(algorithm, one, evaluation_key(seed), amount) for seed, one in each}
            return jax.block_until_ready(found)

    def timeline(self, seed: int, steps: int) -> tuple[Timeline, list[str]]:
        """Runs one seed's network step by step on held-out data.

        Returns `(timeline, lines)`, where `lines` has a line of text per step.
        """
        algorithm = self.algorithm.split()
        with host_errors():
            found = jax.block_until_ready(_timeline(algorithm, self._network(seed), evaluation_key(seed), steps))
        return found, algorithm.render_steps(found)

    def _network(self, seed: int) -> Model:
        seeds = self.program.seeds
        if seed not in seeds:
            raise InputError(f"seed = {seed}: the run has the seeds {', '.join(map(str, seeds))}; give one of them.")
        return self.program.network(self.state, seeds.index(seed))


@eqx.filter_jit
def _evaluate(algorithm: AbstractAlgorithm, network: Model, key: PRNGKeyArray, amount: int) -> Metrics:
    return algorithm.evaluate(network, key, amount)


@eqx.filter_jit
def _timeline(algorithm: AbstractAlgorithm, network: Model, key: PRNGKeyArray, steps: int) -> Timeline:
    return algorithm.timeline(network, key, steps)


def open_run(
    directory: Path,
    program: Program,
    which: Which = "newest",
    warn: Callable[[str], None] = print,
    record: Facts | None = None,
) -> LoadedRun:
    """Opens a run directory. It changes nothing there, and executes nothing from it.

    **Arguments:**

    - `program`: the program of the run.
    - `which`: the newest checkpoint, or the best.
    - `warn`: called with a message for each damaged checkpoint.
    - `record`: the record of the run, as in `farback.runs.loop.train`. A checkpoint with another one is refused.
    """
    found = Checkpoints(directory / "checkpoints").whole(lambda path, error: warn(str(error)))
    scored = {path: facts["score"] for path, facts in found.items() if facts["score"] is not None}
    path = min(scored, key=lambda path: scored[path], default=None) if which == "best" else next(iter(found), None)
    if path is None:
        advice = "train first, with farback train" if not found else "train longer, or open the newest"
        raise InputError(f"'{directory}' has no whole checkpoint{' with a score' if found else ''}: {advice}.")
    check_record(path, found[path], (record or {}) | program.record, whole=record is not None)
    return LoadedRun(program, read(path, program.like), found[path])


def evaluation_key(seed: int) -> PRNGKeyArray:
    """Returns the key of held-out data."""
    return jax.random.fold_in(jax.random.key(seed), 2**31)
