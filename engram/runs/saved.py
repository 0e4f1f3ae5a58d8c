"""A run that was saved, opened to be looked at."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from engram.agents.acting import Episodes, episodes
from engram.envs.host import told
from engram.runs.acting import ActingTrial
from engram.runs.checkpoint import Checkpoints, Facts, check_record, read
from engram.runs.log import Tallies
from engram.runs.program import Program, Running
from engram.runs.trial import AbstractTrial, Scene
from engram.step import Model
from engram.types import InputError

Which = Literal["newest", "best"]


class Saved(NamedTuple):
    """What a run had learnt at a checkpoint."""

    program: Program
    running: Running
    facts: Facts

    def models(self) -> dict[int, Model]:
        """The model of each seed."""
        return {seed: self.program.model(self.running, index) for index, seed in enumerate(self.program.seeds)}

    def evaluate(self, updates: int, trial: AbstractTrial | None = None) -> dict[int, Tallies]:
        """What each seed's model scores in a trial; by default in its own, on data that it has not seen."""
        trial = self.program.trial.held_out() if trial is None else trial
        score = eqx.filter_jit(lambda trial, model, key: trial.evaluate(model, key, updates))
        with told():
            scores = {seed: score(trial, model, evaluation_key(seed)) for seed, model in self.models().items()}
            return jax.block_until_ready(scores)

    def episodes(self, count: int) -> dict[int, Episodes]:
        """What so many episodes of each seed's agent bring, where agents were trained."""
        trial = self.program.trial.held_out()
        assert isinstance(trial, ActingTrial)
        play = eqx.filter_jit(lambda env, model, key: episodes(env, model, key, count))
        env, models = trial.agent.env, self.models()
        with told():
            return jax.block_until_ready({seed: play(env, model, evaluation_key(seed)) for seed, model in models.items()})

    def watch(self, seed: int, steps: int) -> tuple[Scene, list[str]]:
        """What one seed's model does on data that it has not seen, and each step in a line of text."""
        trial = self.program.trial.held_out()
        watch = eqx.filter_jit(lambda trial, model, key: trial.watch(model, key, steps))
        with told():
            scene = jax.block_until_ready(watch(trial, self.models()[seed], evaluation_key(seed)))
        return scene, trial.looks(scene)


def opened(directory: Path, program: Program, which: Which = "newest", warn: Callable[[str], None] = print) -> Saved:
    """Opens a run directory, of which it is known what was run; nothing in it is executed or changed.

    **Arguments:**

    - `program`: what was run.
    - `which`: the newest checkpoint, or the best.
    - `warn`: who is told of checkpoints that are damaged.
    """
    found = Checkpoints(directory / "checkpoints").whole(lambda path, error: warn(str(error)))
    scored = {path: facts["score"] for path, facts in found.items() if facts["score"] is not None}
    path = min(scored, key=lambda path: scored[path], default=None) if which == "best" else next(iter(found), None)
    if path is None:
        raise InputError(f"'{directory}' has no {which} checkpoint that is whole: train first, with engram train.")
    check_record(path, found[path], program.record)
    return Saved(program, read(path, program.like), found[path])


def evaluation_key(seed: int) -> PRNGKeyArray:
    """The key of data that training never sees."""
    return jax.random.fold_in(jax.random.key(seed), 2**31)
