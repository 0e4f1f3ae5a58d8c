"""The algorithms that a configuration may name, with their arguments as text and numbers."""

import dataclasses
import inspect
import types
import typing
from typing import Any, NamedTuple

import equinox as eqx

from farback.agents import (
    DAU,
    DDPG,
    DQN,
    PPO,
    SAC,
    TRPO,
    ActorCriticNetwork,
    DAUNetwork,
    DDPGNetwork,
    MemoryActorCritic,
    MemoryActorCriticNetwork,
    OptimalBaseline,
    PolicyGradient,
    QNetwork,
    QTableNetwork,
    SACNetwork,
    TabularQ,
)
from farback.algorithm import AbstractAlgorithm
from farback.evolution import CMAES, ActionNetwork, OpenAIES
from farback.learner import ReadoutNetwork, Supervised
from farback.memup import MemUP, MemUPAgent, PredictorNetwork
from farback.ops.optimizers import Optimizer
from farback.runs.expressions import check_type, describe_type, express, parse
from farback.runs.kinds import kind_of
from farback.segmentwise_artbp import SegmentwiseARTBP
from farback.types import InputError

Value = str | float | int | bool | None


class Registered(NamedTuple):
    """An algorithm that a configuration may name, and the maker of its network."""

    algorithm: type[AbstractAlgorithm]
    network: type[eqx.Module]


ALGORITHMS = {
    "supervised": Registered(Supervised, ReadoutNetwork),
    "segmentwise-artbp": Registered(SegmentwiseARTBP, ReadoutNetwork),
    "memup": Registered(MemUP, PredictorNetwork),
    "policy-gradient": Registered(PolicyGradient, ActorCriticNetwork),
    "ppo": Registered(PPO, ActorCriticNetwork),
    "trpo": Registered(TRPO, ActorCriticNetwork),
    "optimal-baseline": Registered(OptimalBaseline, ActorCriticNetwork),
    "memup-agent": Registered(MemUPAgent, ActorCriticNetwork),
    "dqn": Registered(DQN, QNetwork),
    "ddpg": Registered(DDPG, DDPGNetwork),
    "dau": Registered(DAU, DAUNetwork),
    "tabular-q": Registered(TabularQ, QTableNetwork),
    "sac": Registered(SAC, SACNetwork),
    "cma-es": Registered(CMAES, ActionNetwork),
    "openai-es": Registered(OpenAIES, ActionNetwork),
    "memory-actor-critic": Registered(MemoryActorCritic, MemoryActorCriticNetwork),
}
"""The algorithms by the names of their commands."""

DEFAULTS = {
    "cell": "GRU(64)",
    "optimizer": "adam(0.003)",
    "policy_optimizer": "adam(0.001)",
    "write_optimizer": "adam(0.0005)",
}
"""Defaults as expressions, for arguments whose default object has no expression."""

FIRST = ("env", "task", "data", "cell", "encoder", "memory", "shared_memory")
"""The arguments that are listed first."""

LARGEST = {"total_steps": 2**62, "seed": 2**32 - 2**20, "seeds": 2**20, "log_every": 2**22}
"""The largest values of whole numbers that become keys, counters or sums."""


class Argument(NamedTuple):
    """An argument of an algorithm in a configuration.

    - `annotation`: its type.
    - `default`: its default as text or number; `MISSING` if it is required.
    - `of_network`: whether it belongs to the maker of the network.
    """

    annotation: Any
    default: Any
    of_network: bool

    @property
    def is_optimizer(self) -> bool:
        """Whether its value is an optimizer."""
        return self.annotation == Optimizer

    @property
    def is_expression(self) -> bool:
        """Whether its value is always an expression."""
        return self.is_optimizer or (kind_of(self.annotation) is not None and not self.is_number)

    @property
    def is_number(self) -> bool:
        """Whether its value may be a number."""
        return bool({int, float, bool} & set(self.options))

    @property
    def options(self) -> tuple[Any, ...]:
        """The types of its value."""
        union = typing.get_origin(self.annotation) in (typing.Union, types.UnionType)
        return typing.get_args(self.annotation) if union else (self.annotation,)


def arguments(algorithm: str) -> dict[str, Argument]:
    """Returns the arguments of an algorithm and of the maker of its network, by name."""
    registered = ALGORITHMS[algorithm]
    found = {}
    for made, of_network in ((registered.algorithm, False), (registered.network, True)):
        for name, parameter in inspect.signature(made).parameters.items():
            if name != "network":
                found[name] = Argument(parameter.annotation, _default(name, parameter.default), of_network)
    return {name: found[name] for name in [*FIRST, *found] if name in found}


def canonical(name: str, value: Any, argument: Argument) -> Value:
    """Returns the stored form of an argument's value, in which each expression has one spelling.

    Raises `InputError` if the value has another type than the argument.
    """
    if value is None or isinstance(value, bool):
        check_type(name, value, argument.annotation)
        return value
    if isinstance(value, int | float):
        if argument.is_expression or not argument.is_number:
            raise InputError(f"{name} = {value}: give an expression{_such_as(argument)}.")
        value = float(value) if float in argument.options and int not in argument.options else value
        check_type(name, value, argument.annotation)
        if isinstance(value, int):
            check_whole(name, value, 0)
        return value
    if not isinstance(value, str) or (kind_of(argument.annotation) is None and not argument.is_optimizer):
        raise InputError(f"{name} = {value!r}: give {' or '.join(map(describe_type, argument.options))}.")
    return str(parse(value))


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """Refuses a value that is not a whole number, or is out of range."""
    if value is None:
        return
    least, most = 0 if name == "seed" else least, LARGEST.get(name, 2**31 - 1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} = {value!r}: give a whole number.")
    if not least <= value <= most:
        raise InputError(f"{name} = {value}: give {least} to {most}.")


def _default(name: str, default: Any) -> Any:
    if name in DEFAULTS:
        return DEFAULTS[name]
    if default is inspect.Parameter.empty:
        return dataclasses.MISSING
    return express(default) if isinstance(default, eqx.Module) or inspect.isclass(default) else default


def _such_as(argument: Argument) -> str:
    return f", such as {argument.default}" if isinstance(argument.default, str) else ""
