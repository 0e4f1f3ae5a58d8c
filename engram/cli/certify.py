"""`engram certify`."""

import dataclasses
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from engram.cli.console import Json, show_table
from engram.reports.numbers import number
from engram.runs.certify import Attempt, certify
from engram.runs.config import Config
from engram.types import InputError

GAP = "{}"
COLUMNS = ("size", "solved", "each seed", "mean score", "memoryless", "optimum", "updates", "seconds")


@dataclasses.dataclass(frozen=True)
class Certify:
    """Find the longest memory that a cell, an estimator and an agent learn: a size is doubled until it is solved no more.

    Wherever {} stands in what is learnt, there is the size. It is solved when every seed has come so far from what can be
    had without memory to the optimum.

    Two examples that work:
      engram certify --task 'SignalledCopy({}, symbols=4, length=2)' --cell 'LRU(16)' --minutes 0.05 --seeds 2

      engram certify --episodes 'RandomPlay(TMaze({}))' --objective 'MemUP()' --length 1 --minutes 0.05 --seeds 2
    """

    task: str | None = None
    """The task, as an expression with {}."""
    env: str | None = None
    """The environment, where an agent is trained, as an expression with {}."""
    episodes: str | None = None
    """What is learnt by an objective where that is no task, as an expression with {}."""
    agent: str | None = None
    """The algorithm that acts and learns, as an expression."""
    objective: str | None = None
    """What a memory is charged for beside the task's own loss, such as 'MemUP()'."""
    context: str | None = None
    """A cell that tells an objective what surrounds a step that is asked about."""
    cell: str = "GRU(64)"
    """The recurrent part of the model, as an expression without its input size."""
    shared: bool = False
    """Whether an agent's policy and value read one memory."""
    estimator: str = "BPTT()"
    """How credit passes through time."""
    optimiser: str = "chain(clip_by_global_norm(1.0), adam(1e-3))"
    """An optimiser of optax."""
    batch: int = 32
    """The number of sequences that learn together, or of environments that are played."""
    length: int | None = None
    """The steps of each sequence between two updates; by default those of an episode."""
    size: int = 8
    """The first size."""
    minutes: float = 10.0
    """How long each size may be trained."""
    level: float = 0.95
    """How far every seed must come: 0 is what can be had without memory, and 1 the optimum."""
    seeds: int = 5
    """How many seeds must learn it."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        given = (self.task, self.env, self.episodes)
        if not any(word is not None and GAP in word for word in given):
            raise InputError(f"Nothing says what the size is of: put {GAP} where it belongs, as in 'TMaze({GAP})'.")
        console = Console(stderr=True)
        found: list[Attempt] = []
        with Live(console=console, transient=True) as live:

            def heard(attempt: Attempt) -> None:
                came = f"{attempt.percent} after {attempt.updates:,} updates, {attempt.seconds:.0f} s"
                live.update(Text(f"{attempt.size}: {came}"))

            for attempt in certify(self._program, self.size, 60 * self.minutes, self.level, heard=heard):
                found.append(attempt)
        rows = [
            (
                f"{one.size:,}",
                "yes" if one.solved else "no",
                one.percent,
                *(number(sum(values) / len(values)) for values in zip(*one.standings, strict=True)),
                f"{one.updates:,}",
                f"{one.seconds:.0f}",
            )
            for one in found
        ]
        longest = max((one.size for one in found if one.solved), default=None)
        said = "None was solved." if longest is None else f"The longest solved: {longest:,}."
        show_table(self._what, COLUMNS, rows, said)
        attempts = [
            one._asdict() | {"standings": [each._asdict() for each in one.standings], "mastery": one.mastery}
            for one in found
        ]
        return {"longest": longest, "attempts": attempts}

    @property
    def _what(self) -> str:
        words = (self.task, self.env, self.episodes, self.agent, self.objective, self.cell, self.estimator)
        return ", ".join(word for word in words if word is not None)

    def _program(self, size: int) -> Any:
        task, env, episodes = (word and word.replace(GAP, str(size)) for word in (self.task, self.env, self.episodes))
        config = Config(
            task=task,
            env=env,
            episodes=episodes,
            agent=self.agent,
            objective=self.objective,
            context=self.context,
            cell=self.cell,
            shared=self.shared,
            estimator=self.estimator,
            optimiser=self.optimiser,
            batch=self.batch,
            length=1 if self.length is None else self.length,
            steps=1,
            seed=0,
            seeds=self.seeds,
        )
        if self.length is None:
            config = dataclasses.replace(config, length=config.episode)
        return config.program()
