"""`engram train`."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax

from engram.cli.bar import Bar
from engram.cli.console import Json, say
from engram.cli.scores import show_scores
from engram.reports.record import RATE, finals, metrics, rate, read_record
from engram.runs.config import Config
from engram.runs.listener import AbstractListener
from engram.runs.loop import Options
from engram.runs.run import run
from engram.runs.tensorboard import TensorBoard
from engram.runs.trial import Aim
from engram.runs.weights_and_biases import WeightsAndBiases


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a model on a task, or an agent in an environment. The same command goes on where it was broken off; with more
    --steps, it goes further.

    Two examples that work:
      engram train --task 'Recall(10)' --cell 'LSTM(16)' --estimator 'TBPTT(5)' --length 20 --seeds 3 --dir runs/recall

      engram train --env 'TMaze(20)' --agent 'PPO()' --cell 'RTU(16)' --estimator 'RTRL()' --length 4 --steps 100_000
    """

    task: str | None = None
    """The task, as an expression; engram list shows what there is."""
    env: str | None = None
    """The environment, where an agent is trained, as an expression."""
    agent: str | None = None
    """The algorithm that acts and learns, as an expression."""
    objective: str | None = None
    """What a memory is charged for beside the task's own loss, such as 'MemUP()': an update is a pass through episodes."""
    episodes: str | None = None
    """What is learnt by an objective where that is no task, such as 'RandomPlay(TMaze(100))'."""
    context: str | None = None
    """A cell that tells an objective what surrounds a step that is asked about, where its input alone does not."""
    memory: str | None = None
    """A run directory of such a memory: an agent is shown what it holds, as it is."""
    cell: str = "GRU(64)"
    """The recurrent part of the model, as an expression without its input size; linear readouts follow it."""
    shared: bool = False
    """Whether an agent's policy and value read one memory; by default they have one each."""
    estimator: str = "BPTT()"
    """How credit passes through time."""
    optimiser: str = "adam(3e-3)"
    """An optimiser of optax, such as 'chain(clip_by_global_norm(1.0), adam(linear_schedule(1e-2, 0.0, 10_000)))'."""
    batch: int = 16
    """The number of sequences that learn together, or of environments that are played."""
    length: int = 64
    """The steps of each sequence between two updates."""
    steps: int = 1_000_000
    """The time steps to train for, those of all sequences together; rounded up to whole updates."""
    seed: int = 0
    """The first seed: of parameters, data and draws."""
    seeds: int = 1
    """How many seeds are trained at once, each with the keys it would have alone."""
    dir: Path | None = None
    """The run directory; by default a name in runs/ that stands for what is trained."""
    log_every: int | None = None
    """The updates of one row of the log; by default there are some 500 rows."""
    devices: int = 1
    """Over how many devices seeds, or else the batch, are laid; CPU cores count as devices."""
    save_every: float = 60.0
    """The seconds between checkpoints."""
    keep: int = 3
    """How many of the newest checkpoints are kept; the best is kept besides."""
    on_nan: Literal["stop", "restore"] = "stop"
    """When a loss or a parameter is NaN or infinite: stop, or restore the last checkpoint and halve the step."""
    tensorboard: bool = False
    """Write the log for TensorBoard too, into the run directory."""
    wandb: str | None = None
    """A project of Weights & Biases to send the log to."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        use_devices(self.devices)
        names = [field.name for field in dataclasses.fields(Config)]
        config = Config(**{name: getattr(self, name) for name in names})
        directory = Path("runs") / config.name if self.dir is None else self.dir
        words = (config.task, config.env, config.episodes, config.agent, config.objective)
        what = ", ".join(word for word in words if word is not None)
        title = f"{what}, {config.cell}, {config.estimator}, {config.updates:,} updates: {directory}"
        listeners: list[AbstractListener] = [Bar(title)]
        if self.tensorboard:
            listeners.append(TensorBoard(directory))
        if self.wandb is not None:
            listeners.append(WeightsAndBiases(self.wandb, directory, config.record))
        options = Options(self.save_every, self.keep, self.on_nan)
        done = run(config, directory, devices=self.devices, options=options, listeners=listeners, warn=say)
        record = read_record(directory)
        scores = {name: finals(record, name) for name in metrics([record]) if name != RATE}
        aim = Aim(record.metric, record.minimise, record.levels)
        said = {"dir": str(directory), "update": done, "step": done * config.steps_of_update}
        return said | {"steps_per_second": rate(record)} | show_scores(f"{directory}: its last tenth", scores, aim)


def use_devices(count: int) -> None:
    """Makes CPU cores count as devices."""
    if count > 1:
        jax.config.update("jax_num_cpu_devices", count)
