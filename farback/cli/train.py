"""`farback train`."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import tyro

from farback.algorithm import Criterion
from farback.cli.arguments import Whole, flags, optional, words
from farback.cli.bar import Bar
from farback.cli.console import Json, say
from farback.cli.examples import EXAMPLES
from farback.cli.files import check_words, read_words, write_words
from farback.cli.help import Choice, summary
from farback.cli.scores import show_scores
from farback.reports.record import RATE, finals, metrics, rate, read_record
from farback.runs.algorithms import ALGORITHMS
from farback.runs.config import Config, configure
from farback.runs.expressions import nearest
from farback.runs.listener import AbstractListener
from farback.runs.optimizers import with_learning_rate
from farback.runs.options import Options
from farback.runs.run import run_config
from farback.runs.tensorboard import TensorBoard
from farback.runs.wandb import WeightsAndBiases
from farback.types import InputError

ABOUT = "Train with an algorithm; the flags are its arguments. farback train ALGORITHM --help shows them, with examples."
RATE_HELP = "The optimizer's learning rate: a number, or a schedule such as 'linear_schedule(1e-3, 0.0, 10_000)'."
CONFIGURED = ("total_steps", "seed", "seeds", "log_every")
"""The flags of a run that are part of its configuration."""


def _flag(text: str) -> Any:
    return tyro.conf.arg(help=text)


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The flags of a run that all algorithms share."""

    learning_rate: Annotated[str | None, optional("FLOAT|EXPRESSION", RATE_HELP)] = None
    total_steps: Annotated[Whole, _flag("The total time steps of all sequences, rounded up to whole updates.")] = 1_000_000
    seed: Annotated[Whole, _flag("The first seed, for parameters, data and draws.")] = 0
    seeds: Annotated[Whole, _flag("The number of seeds, which are trained together.")] = 1
    dir: Annotated[
        Path | None, optional("PATH", "The run directory; by default, a folder in runs/ named after the configuration.")
    ] = None
    log_every: Annotated[
        Whole | None, optional("INT", "The updates per row of the log; by default, chosen for about 500 rows.")
    ] = None
    devices: Annotated[
        Whole, _flag("The number of devices. They split the seeds, or else the batch; CPU cores count as devices.")
    ] = 1
    save_every: Annotated[float, _flag("The seconds between checkpoints.")] = 60.0
    keep_checkpoints: Annotated[Whole, _flag("The number of newest checkpoints to keep, beside the best one.")] = 3
    on_nan: Annotated[
        Literal["stop", "restore"],
        _flag("What to do when a value is NaN or infinite: stop, or restore the last checkpoint and halve the step."),
    ] = "stop"
    tensorboard: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, _flag("Also write the log for TensorBoard, in the run directory.")
    ] = False
    wandb: Annotated[str | None, optional("PROJECT", "The Weights & Biases project that receives the log.")] = None
    config: Annotated[
        Path | None, optional("PATH", "A TOML file with values of these flags; flags on the command line override it.")
    ] = None
    print_config: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, _flag("Print these flags as a file for --config, without training.")
    ] = False
    json: Json = False


KINDS: dict[str, type] = {
    **{"learning_rate": str, "total_steps": int, "seed": int, "seeds": int, "dir": Path, "log_every": int, "devices": int},
    **{"save_every": float, "keep_checkpoints": int, "on_nan": str, "tensorboard": bool, "wandb": str},
}
"""The types of the flags above that a file may set."""


class TrainCommand:
    """The commands of all algorithms."""

    algorithm: ClassVar[str]

    def run(self: Any) -> dict[str, Any]:
        config = self.configuration()
        if self.print_config:
            print(write_words(self.words(config)))
            return {}
        use_devices(self.devices)
        directory = Path("runs") / config.name if self.dir is None else self.dir
        listeners: list[AbstractListener] = [Bar(f"{config.title}, {config.updates:,} updates: {directory}")]
        if self.tensorboard:
            listeners.append(TensorBoard(directory))
        if self.wandb is not None:
            listeners.append(WeightsAndBiases(self.wandb, directory, config.record))
        options = Options(self.save_every, self.keep_checkpoints, self.on_nan)
        done = run_config(config, directory, devices=self.devices, options=options, listeners=listeners, warn=say)
        record = read_record(directory)
        scores = {name: finals(record, name) for name in metrics([record]) if name != RATE}
        criterion = Criterion(record.metric, record.minimise, record.levels)
        found = {"dir": str(directory), "update": done, "step": done * config.build().steps_per_update}
        scored = show_scores(f"{directory}: means over the last tenth", scores, criterion)
        return found | {"steps_per_second": rate(record)} | scored

    def configuration(self: Any) -> Config:
        """Returns the configuration that the flags describe."""
        found = words(self, self.algorithm)
        if self.learning_rate is not None:
            if "optimizer" not in found:
                rates = ", ".join(f"--{name.replace('_', '-')}" for name in found if name.endswith("learning_rate"))
                raise InputError(f"--learning-rate: {self.algorithm} has no optimizer as an argument; give {rates}.")
            found["optimizer"] = with_learning_rate(found["optimizer"], self.learning_rate)
        return configure(self.algorithm, **found, **{name: getattr(self, name) for name in CONFIGURED})

    def words(self: Any, config: Config) -> dict[str, Any]:
        """Returns the entries of a file for these flags. The learning rate is part of the optimizer."""
        defaults = {field.name: field.default for field in dataclasses.fields(RunFlags)}
        others = [name for name in KINDS if name not in (*CONFIGURED, "learning_rate")]
        changed = {name: getattr(self, name) for name in others if getattr(self, name) != defaults[name]}
        own = {name: getattr(config, name) for name in CONFIGURED}
        return {"algorithm": config.algorithm, **config.arguments, **own, **changed}


def train_command(algorithm: str, defaults: Mapping[str, Any] | None = None) -> type:
    """Returns the command that trains with an algorithm.

    **Arguments:**

    - `algorithm`: the name of the algorithm.
    - `defaults`: defaults from a file.
    """
    given = defaults or {}
    own = [
        (field.name, field.type, dataclasses.field(default=given.get(field.name, field.default)))
        for field in dataclasses.fields(RunFlags)
    ]
    fields = [*flags(algorithm, given), *own]
    made = dataclasses.make_dataclass(f"Train_{algorithm}", fields, bases=(TrainCommand,), frozen=True)
    made.algorithm = algorithm
    lines = "\n".join(f"  farback train {algorithm} {example}" for example in EXAMPLES[algorithm])
    made.__doc__ = f"{summary(algorithm)}\n\nTwo examples that work:\n{lines}"
    return made


def train_commands(arguments: Sequence[str]) -> tuple[dict[str, Choice], list[str]]:
    """Returns the commands of all algorithms, and the arguments for them. The entries of a file become defaults."""
    arguments = list(arguments)
    path = _file(arguments)
    found: dict[str, Any] = {}
    if path is not None:
        name, arguments, found = _with_file(path, arguments)
        return {name: Choice(summary(name), partial(train_command, name, found))}, arguments
    return {name: Choice(summary(name), partial(train_command, name)) for name in ALGORITHMS}, arguments


def _with_file(path: Path, arguments: list[str]) -> tuple[str, list[str], dict[str, Any]]:
    """Returns the algorithm, the arguments with it in front, and the entries of a file."""
    found, source = read_words(path), f"--config {path}"
    algorithm = found.pop("algorithm", None)
    if arguments[0].startswith("-"):
        if algorithm is None:
            raise InputError(f"{source} has no algorithm: give one, as in farback train ppo --config {path}.")
        arguments = [str(algorithm), *arguments]
    name = arguments[0]
    if name not in ALGORITHMS:
        raise InputError(f"There is no algorithm '{name}'. {nearest(name, ALGORITHMS)}")
    if algorithm not in (None, name):
        raise InputError(f"{source} is for {algorithm}, not {name}: give another file, or farback train {algorithm}.")
    return name, arguments, check_words(found, name, KINDS, source)


def _file(arguments: Sequence[str]) -> Path | None:
    for index, word in enumerate(arguments):
        if word.startswith("--config="):
            return Path(word.partition("=")[2])
        if word == "--config" and index + 1 < len(arguments):
            return Path(arguments[index + 1])
    return None


def use_devices(count: int) -> None:
    """Makes CPU cores count as devices."""
    if count > 1:
        jax.config.update("jax_num_cpu_devices", count)
