"""The configuration of a run: an algorithm and its arguments as text and numbers, stored in the run directory."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from farback.agents import AbstractOnPolicyAgent
from farback.algorithm import AbstractAlgorithm
from farback.cell import AbstractCell
from farback.cells import Frozen, FrozenEncoder
from farback.estimators import Sharded
from farback.network import AbstractEncoder
from farback.runs.algorithms import ALGORITHMS, Argument, Value, arguments, canonical, check_whole
from farback.runs.expressions import Spec, call, check_type, nearest, parse
from farback.runs.kinds import CellExpression, EncoderExpression, agent_expression, build, kind_of
from farback.runs.optimizers import OptimizerExpression
from farback.runs.program import Program
from farback.runs.saved import open_run
from farback.types import InputError

FILE = "config.json"
"""The file of a configuration in a run directory."""
FORMAT = 2
"""The version of its format."""
SOURCES = ("env", "task", "data", "cell", "estimator")
"""The arguments that a name and a title show."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of a run.

    - `algorithm`: the name of an algorithm, such as `ppo`.
    - `arguments`: the arguments of the algorithm and of its network: numbers, and expressions such as `GRU(64)`. A missing
      one has its default.
    - `total_steps`: the time steps of all sequences together, rounded up to whole updates.
    - `seed`, `seeds`: the first seed, and the number of seeds.
    - `log_every`: the updates per row of the log. By default, a run keeps the value that it began with; a new run chooses
      one for about 500 rows.
    """

    algorithm: str
    arguments: Mapping[str, Value]
    total_steps: int = 1_000_000
    seed: int = 0
    seeds: int = 1
    log_every: int | None = None

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"There is no algorithm '{self.algorithm}'. {nearest(self.algorithm, ALGORITHMS)}")
        for name in ("total_steps", "seed", "seeds", "log_every"):
            check_whole(name, getattr(self, name))
        known, given = arguments(self.algorithm), self.arguments
        for name in given:
            if name not in known:
                raise InputError(f"{self.algorithm} has no argument '{name}'. {nearest(name, known)}")
        missing = [
            name for name, argument in known.items() if argument.default is dataclasses.MISSING and name not in given
        ]
        if missing:
            raise InputError(f"{self.algorithm} requires {', '.join(missing)}: give {missing[0]}.")
        values = {name: canonical(name, given.get(name, one.default), one) for name, one in known.items()}
        object.__setattr__(self, "arguments", values)

    def __hash__(self) -> int:
        return hash(json.dumps(self.record, sort_keys=True))

    def replace(self, **changes: Any) -> "Config":
        """Returns this configuration with other values of its fields or of its algorithm's arguments."""
        own = {field.name for field in dataclasses.fields(self)}
        fields = {name: value for name, value in changes.items() if name in own}
        given = {name: value for name, value in changes.items() if name not in own}
        return dataclasses.replace(self, **{"arguments": {**self.arguments, **given}, **fields})

    def with_episode_window(self) -> "Config":
        """Returns this configuration with a window as long as an episode."""
        pieces = (self.arguments.get(name) for name in ("sequence_length", "prediction_interval"))
        multiple = next((piece for piece in pieces if isinstance(piece, int)), 1)
        length = self.replace(window=multiple).build().episode_length
        if length is None:
            raise InputError(f"{self.algorithm}: the length of an episode is unknown; give a window.")
        return self.replace(window=-(-length // multiple) * multiple)

    @functools.cached_property
    def updates(self) -> int:
        """The number of updates of the whole run."""
        return -(-self.total_steps // self.build().steps_per_update)

    @property
    def record(self) -> dict[str, Any]:
        """The values that determine what is learnt and logged up to any step: all but `total_steps`, without defaults."""
        known = arguments(self.algorithm)
        changed = {name: value for name, value in self.arguments.items() if value != known[name].default}
        record = {"algorithm": self.algorithm, **changed, "seed": self.seed, "seeds": self.seeds}
        return record if self.log_every is None else record | {"log_every": self.log_every}

    @property
    def name(self) -> str:
        """A short name of this configuration, for the default directory."""
        what = json.dumps({name: value for name, value in self.record.items() if name != "log_every"}, sort_keys=True)
        words = [parse(text).name for text in self._sources]
        return "-".join([self.algorithm, *words, hashlib.sha256(what.encode()).hexdigest()[:8]])

    @property
    def title(self) -> str:
        """A title of this configuration in one line."""
        return ", ".join([self.algorithm, *self._sources])

    @property
    def _sources(self) -> list[str]:
        return [str(self.arguments[name]) for name in SOURCES if self.arguments.get(name) is not None]

    def build(self, devices: int = 1) -> AbstractAlgorithm:
        """Returns the algorithm, with its batch spread over a number of devices."""
        registered, known = ALGORITHMS[self.algorithm], arguments(self.algorithm)
        made = {name: _value(self.arguments[name], one) for name, one in known.items()}
        for name, one in known.items():
            check_type(name, made[name], one.annotation)
        of_network = {name: made.pop(name) for name, one in known.items() if one.of_network}
        if devices > 1:
            made["estimator"] = Sharded(made["estimator"], devices)
        spec = Spec(registered.algorithm.__name__)
        network = call(spec, registered.network, _given, of_network, of_network)
        return call(spec, registered.algorithm, _given, made | {"network": network}, [*made, "network"])

    def program(self, devices: int = 1) -> Program:
        """Returns the program of the run. Devices split the seeds if their number allows it, or else the batch."""
        if not 1 <= devices <= jax.device_count():
            raise InputError(f"devices = {devices}: this machine has {jax.device_count()}; give 1 to {jax.device_count()}.")
        if self.seeds % devices:
            self._check_batch(devices)
        seeds = range(self.seed, self.seed + self.seeds)
        if self.seeds % devices:
            return Program(self.build(devices), seeds, self.log_every or 1)
        return Program(self.build(), seeds, self.log_every or 1, devices)

    def _check_batch(self, devices: int) -> None:
        """Refuses devices that do not divide the batch either."""
        if "estimator" not in self.arguments:
            raise InputError(f"devices = {devices} does not divide seeds = {self.seeds}: give a divisor.")
        batch = next(name for name in ("num_envs", "batch_size") if name in self.arguments)
        size = self.arguments[batch]
        if int(size or 1) % devices:
            raise InputError(
                f"devices = {devices} divides neither seeds = {self.seeds} nor {batch} = {size}: give a divisor of one."
            )


def configure(algorithm: str, **words: Any) -> Config:
    """Returns a configuration from the fields of `Config` and the arguments of an algorithm, all by name."""
    own = {field.name for field in dataclasses.fields(Config)}
    fields = {name: value for name, value in words.items() if name in own}
    return Config(algorithm, {name: value for name, value in words.items() if name not in own}, **fields)


def read_config(directory: Path) -> Config:
    """Reads the configuration of a run directory."""
    path = directory / FILE
    try:
        stored = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"'{directory}' is not a run directory: it has no {FILE}. Give one that farback train made; the same call of "
            "farback.run opens one that it made."
        ) from None
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}. Restore it.") from None
    if not isinstance(stored, dict) or stored.get("farback") != FORMAT:
        raise InputError(f"'{path}' is not in the format of this Farback, {FORMAT}: train again, in another directory.")
    fields = {field.name for field in dataclasses.fields(Config)}
    wrong = (set(stored) - {"farback"}) ^ fields
    if wrong:
        raise InputError(f"'{path}' has wrong or missing keys: {', '.join(sorted(wrong))}. Restore it.")
    if not isinstance(stored["arguments"], dict) or not isinstance(stored["algorithm"], str):
        raise InputError(f"'{path}': algorithm is a string, and arguments an object. Restore it.")
    try:
        return Config(**{name: stored[name] for name in fields})
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def pretrained(directory: str, part: str = "memory", seed: int | None = None, frozen: bool = True) -> Any:
    """Returns a trained network, or a part of it. If an agent has two networks, it is the policy's.

    **Arguments:**

    - `directory`: a run directory.
    - `part`: `memory`, `encoder` or `network`.
    - `seed`: the seed of the network; by default the run's first.
    - `frozen`: whether the parameters of a memory or an encoder stay fixed. An encoder without parameters is given as it
      is.
    """
    if part not in ("memory", "encoder", "network"):
        raise InputError(f"Pretrained(part={part!r}): give 'memory', 'encoder' or 'network'.")
    config = read_config(Path(directory))
    found = open_run(Path(directory), config.program(), record=config.record).networks()
    if seed is not None and seed not in found:
        raise InputError(f"Pretrained(seed={seed}): '{directory}' has the seeds {', '.join(map(str, found))}.")
    network = found[next(iter(found)) if seed is None else seed]
    network = getattr(network, "policy", network)
    if part == "network":
        return network
    made = getattr(network, part)
    if not frozen or (part == "encoder" and not jax.tree.leaves(eqx.filter(made, eqx.is_array))):
        return made
    return Frozen(made) if part == "memory" else FrozenEncoder(made)


def load_part(spec: Spec) -> Any:
    """Returns the part of a trained network that a `Pretrained(...)` expression names."""
    return call(spec, pretrained, _given, {})


def _given(value: Any, annotation: Any) -> Any:
    del annotation
    return value


def _value(value: Value, argument: Argument) -> Any:
    """Returns the object that the value of an argument describes."""
    if not isinstance(value, str):
        return value
    if argument.is_optimizer:
        return OptimizerExpression(value)
    kind = kind_of(argument.annotation)
    assert kind is not None
    if kind is AbstractCell:
        return CellExpression(value, load_part)
    if kind is AbstractEncoder:
        return EncoderExpression(value, load_part)
    return agent_expression(value) if kind is AbstractOnPolicyAgent else build(value, kind, load_part)
