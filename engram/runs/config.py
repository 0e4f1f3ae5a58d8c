"""What a run is made from: text and numbers that say it all, stored beside what it learns."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from engram.agents import AbstractAgent, actor_critic
from engram.cell import AbstractCell
from engram.cells import Chain, Foresight, Head
from engram.envs import AbstractEnv, Recalled
from engram.estimators import AbstractEstimator, Sharded
from engram.learner import Learner
from engram.memup import MemUP
from engram.objectives import AbstractEpisodes, OfTask
from engram.runs.acting import ActingTrial
from engram.runs.checkpoint import write_atomically
from engram.runs.foreseeing import ForeseeingTrial
from engram.runs.lock import LOCK
from engram.runs.optimiser import build_optimiser
from engram.runs.program import Program
from engram.runs.saved import opened
from engram.runs.spec import build, build_cell, parse
from engram.runs.trial import StreamTrial
from engram.tasks import AbstractTask
from engram.types import InputError

FILE = "config.json"
MOST = {"steps": 2**62, "seed": 2**32 - 2**20, "seeds": 2**20, "log_every": 2**22}
"""The largest numbers that a key, a counter or a sum has room for, where it is not those of 32 bits."""
OURS = {FILE, f".{FILE}.part", LOCK, "metrics.jsonl", "checkpoints"}
"""What a run that was broken off before it learnt anything may have left."""
USUAL_ROWS = 500
"""How many rows a log has by default, about."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A run.

    - `task`, `cell`, `estimator`, `optimiser`: expressions, such as `GRU(64)`.
    - `batch`: the number of sequences that learn together, or of environments.
    - `length`: the steps of each of them between two updates.
    - `steps`: the time steps of all sequences together, rounded up to whole updates.
    - `seed`, `seeds`: the first seed, and how many there are.
    - `log_every`: the updates of one row of the log; by default what the run was begun with, or else some 500 rows.
    - `env`, `agent`: what is acted in and by whom, where there is no task.
    - `shared`: whether an agent's policy and value read one memory, or have one each.
    - `objective`: what is charged, where it is more than the task's own loss; then `length` is that of a window, and an
      update a pass through episodes.
    - `episodes`: what is learnt by an objective, where there is no task.
    - `context`: a cell that tells an objective what surrounds a step.
    - `memory`: a run directory, of whose first seed an agent is shown what its memory holds.
    """

    task: str | None
    cell: str
    estimator: str
    optimiser: str
    batch: int
    length: int
    steps: int
    seed: int
    seeds: int
    log_every: int | None = None
    env: str | None = None
    agent: str | None = None
    shared: bool = False
    objective: str | None = None
    episodes: str | None = None
    context: str | None = None
    memory: str | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "seed" else 1
            if isinstance(value, str):
                object.__setattr__(self, field.name, value if field.name == "memory" else str(parse(value)))
            elif isinstance(value, bool):
                continue
            elif value is not None and value < least:
                raise InputError(f"{field.name} = {value}: give {least} at least.")
            elif value is not None and value > (most := MOST.get(field.name, 2**31 - 1)):
                raise InputError(f"{field.name} = {value}: give {most} at most.")
        if sum(source is not None for source in (self.task, self.env, self.episodes)) != 1:
            raise InputError("What is learnt is a task, an env, or episodes: give one of them.")
        if (self.env is None) != (self.agent is None) or (self.shared and self.env is None):
            raise InputError("An env is acted in by an agent, such as PPO(): give both of them, or a task alone.")
        if self.memory is not None and self.env is None:
            raise InputError("What a memory holds is shown to an agent: give an env, and an agent, such as PPO().")
        if self.objective is None and (self.episodes or self.context):
            raise InputError("Episodes and a context are for an objective: give one, such as MemUP().")
        if self.objective is not None and self.env is not None:
            raise InputError(
                f"An objective learns from episodes: give a task, or episodes = RandomPlay({self.env}) in place of the env."
            )

    @property
    def updates(self) -> int:
        """The updates of the whole run."""
        return -(-self.steps // self.steps_of_update)

    @property
    def steps_of_update(self) -> int:
        """The time steps of an update of one seed."""
        return self.batch * self.length if self.objective is None else self.foreseeing().steps

    @property
    def episode(self) -> int:
        """The steps of a window that holds a whole episode; of an environment, with the one that shows its end."""
        match self.trial():
            case StreamTrial() as trial:
                steps, of = trial.learner.task.steps, trial.learner.task
            case ForeseeingTrial() as trial:
                steps, of = trial.learner.episodes.steps, trial.learner.episodes
            case ActingTrial() as trial:
                of = trial.agent.env
                steps = None if of.steps is None else of.steps + 1
        if steps is None:
            raise InputError(f"How long episodes of {type(of).__name__} are is not known: give a length.")
        return steps

    @property
    def record(self) -> dict[str, Any]:
        """What decides what is learnt and logged up to any step: everything but how far it goes, and what was not asked."""
        asked = {field: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "steps"}
        return {field.name: value for field, value in asked.items() if value != field.default}

    @property
    def name(self) -> str:
        """A name for whatever decides what is learnt."""
        what = json.dumps({name: value for name, value in self.record.items() if name != "log_every"}, sort_keys=True)
        words = (self.task, self.env, self.episodes, self.agent, self.objective, self.cell, self.estimator)
        expressions = (parse(text).name for text in words if text is not None)
        return "-".join([*expressions, hashlib.sha256(what.encode()).hexdigest()[:8]])

    def trial(self, devices: int = 1) -> StreamTrial | ActingTrial | ForeseeingTrial:
        """What one seed of it does, with the batch over so many devices."""
        if self.objective is not None:
            return self.foreseeing(devices)
        return self.acting(devices) if self.task is None else self.streaming(devices)

    def streaming(self, devices: int = 1) -> StreamTrial:
        """The same, where there is a task."""
        assert self.task is not None
        task, cell = build(self.task, AbstractTask), self.cell

        def make(key):
            cell_key, readout_key = jax.random.split(key)
            memory, width = build_cell(cell, task.input_size, key=cell_key)
            return Chain(memory, eqx.nn.Linear(width, task.output_size, key=readout_key))

        learner = Learner(task, self._estimator(devices), build_optimiser(self.optimiser))
        return StreamTrial(learner, make, self.batch, self.length)

    def acting(self, devices: int = 1) -> ActingTrial:
        """The same, where there is an environment."""
        assert self.env is not None
        assert self.agent is not None
        env, cell, shared = build(self.env, AbstractEnv), self.cell, self.shared
        if self.memory is not None:
            env = Recalled(env, remembered(Path(self.memory)))
        supplied = {"env": env, "estimator": self._estimator(devices), "optimiser": build_optimiser(self.optimiser)}
        agent = build(self.agent, AbstractAgent, **supplied)

        def make(key):
            return actor_critic(env, lambda size, key: build_cell(cell, size, key=key)[0], shared, key=key)

        return ActingTrial(agent, make, self.batch, self.length)

    def foreseeing(self, devices: int = 1) -> ForeseeingTrial:
        """The same, where there is an objective."""
        assert self.objective is not None
        if self.episodes is None:
            assert self.task is not None
            episodes: AbstractEpisodes = OfTask(build(self.task, AbstractTask))
        else:
            episodes = build(self.episodes, AbstractEpisodes)
        supplied = {"estimator": self._estimator(devices), "optimiser": build_optimiser(self.optimiser)}
        learner = build(self.objective, MemUP, episodes=episodes, **supplied)
        cell, around = self.cell, self.context

        def make(key):
            cell_key, context_key, head_key = jax.random.split(key, 3)
            seen, asked, said = episodes.sizes
            memory, width = build_cell(cell, seen, key=cell_key)
            context, surroundings = (None, 0) if around is None else build_cell(around, asked, key=context_key)
            return Foresight(memory, Head(width, surroundings, asked, width, said, key=head_key), context)

        return ForeseeingTrial(learner, make, self.batch, self.length)

    def _estimator(self, devices: int) -> AbstractEstimator:
        estimator = build(self.estimator, AbstractEstimator)
        return Sharded(estimator, devices) if devices > 1 else estimator

    def program(self, devices: int = 1) -> Program:
        """The program that trains it: over several devices go whole seeds if they can be shared, or else the batch."""
        if not 1 <= devices <= jax.device_count():
            raise InputError(f"devices = {devices}: there are {jax.device_count()}; give 1 to {jax.device_count()}.")
        if self.seeds % devices and self.batch % devices:
            raise InputError(
                f"devices = {devices} divides neither seeds = {self.seeds} nor batch = {self.batch}: give one that does."
            )
        seeds = range(self.seed, self.seed + self.seeds)
        if self.seeds % devices:
            return Program(self.trial(devices), seeds, self.log_every or 1)
        return Program(self.trial(), seeds, self.log_every or 1, devices)


def read_config(directory: Path) -> Config:
    """The configuration of a run directory."""
    path = directory / FILE
    try:
        stored = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"'{directory}' is no run directory: it has no {FILE}. Give one that engram train made.") from None
    except ValueError as error:
        raise InputError(f"'{path}' is no JSON: {error}. Put it back as it was.") from None
    fields: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Config)}
    needed = {field.name for field in dataclasses.fields(Config) if field.default is dataclasses.MISSING}
    if not isinstance(stored, dict) or not needed <= set(stored) <= set(fields):
        wrong = (set(stored) - set(fields)) | (needed - set(stored)) if isinstance(stored, dict) else {"everything"}
        odd = ", ".join(sorted(wrong))
        raise InputError(f"'{path}' should have the keys {', '.join(fields)}; wrong or missing: {odd}.")
    for name, value in stored.items():
        if not isinstance(value, fields[name]) or (isinstance(value, bool) and fields[name] is not bool):
            kind = "true or false" if fields[name] is bool else "a whole number" if fields[name] is int else "an expression"
            raise InputError(f"'{path}': {name} = {value!r}: give {kind}.")
    try:
        return Config(**stored)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def remembered(directory: Path) -> AbstractCell:
    """The memory that was trained first in a run directory."""
    model = next(iter(opened(directory, read_config(directory).program()).models().values()))
    if not isinstance(model, Foresight):
        raise InputError(f"'{directory}' has no memory to be shown: give a run of engram train --objective 'MemUP()'.")
    return model.memory


def settle(directory: Path, config: Config) -> Config:
    """A configuration as it is to be put on record in a directory, which must be this run's, empty, or not there yet."""
    if (directory / FILE).exists() and has_begun(directory):
        stored = read_config(directory)
        config = dataclasses.replace(config, log_every=config.log_every or stored.log_every)
        for name, value in config.record.items():
            if stored.record.get(name) != value:
                raise InputError(
                    f"'{directory}' was begun with {name} = {stored.record.get(name)}, and not {value}: give another "
                    f"--dir, or that {name}."
                )
        return config
    if directory.is_file() or (
        directory.exists()
        and any(
            path.name[0] != "." and path.name not in (LOCK, FILE, "checkpoints", "metrics.jsonl")
            for path in directory.iterdir()
        )
    ):
        raise InputError(f"'{directory}' is no run directory, and not empty: give another --dir.")
    return dataclasses.replace(config, log_every=config.log_every or min(-(-config.updates // USUAL_ROWS), 2**17))


def has_begun(directory: Path) -> bool:
    """Whether anything has been learnt in a directory."""
    log = directory / "metrics.jsonl"
    return any((directory / "checkpoints").glob("*")) or (log.exists() and log.stat().st_size > 0)


def write_config(directory: Path, config: Config) -> None:
    """Puts a configuration on record, unless there is one already that goes as far."""
    if not has_begun(directory) or read_config(directory).steps < config.steps:
        write_atomically(directory / FILE, [json.dumps(dataclasses.asdict(config), indent=2).encode() + b"\n"])
