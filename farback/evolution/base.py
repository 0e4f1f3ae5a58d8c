"""What evolution strategies share: the returns of a population in common worlds."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.acting import EpisodeStatistics, evaluate
from farback.agents import AbstractAgent
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.envs.check import check_shapes
from farback.evolution.action_network import ActionPolicy, check_actions
from farback.network import Network
from farback.step import Model
from farback.types import InputError, Outcome, Tally

MOST_STEPS = 10_000
"""The steps after which an episode of unknown length is abandoned."""


class EvolutionState(eqx.Module):
    """The whole state of an evolution strategy.

    - `network`: the network of the mean parameters.
    - `search`: the state of the search, such as a covariance matrix.
    """

    network: Network
    search: PyTree
    key: PRNGKeyArray
    updates: Int[Array, ""]


class AbstractEvolution(AbstractAgent):
    """Learns the parameters θ of a network from returns alone. An update is a generation:

        θ_k, k = 1, …, population, drawn around the mean;      R_k = the mean return of θ_k in `episodes` episodes

    and the search moves the mean, and perhaps the shape of the distribution, towards parameters with high returns. All
    candidates of a generation play in the same worlds, with the same random numbers. A candidate with an episode that does
    not end, or whose return is not finite, counts as the worst.

    The log has `charts/population_return`, the mean return of all candidates; `charts/episodic_return`, that of the mean
    parameters in fresh worlds; and `charts/best_return`, that of the best candidate of the generation in fresh worlds.
    The steps of an update count every episode at its longest. Parameters that are frozen, such as those of a `Pretrained`
    memory, stay as they are.

    A subclass has the fields below and defines `begin`, `ask` and `tell`.

    - `env`: the environment, in JAX, such as CartPole().
    - `network`: the network, a maker `network(env, key=key)` such as an `ActionNetwork`.
    - `population`: the number of candidates.
    - `episodes`: the number of episodes of each candidate.
    """

    env: eqx.AbstractVar[AbstractEnv]
    network: eqx.AbstractVar[Callable[..., Model]]
    population: eqx.AbstractVar[int]
    episodes: eqx.AbstractVar[int]

    def __check_init__(self):
        require_positive(self, "episodes")
        name = type(self).__name__
        if self.population < 4:
            raise InputError(f"{name}(population={self.population}): give population >= 4.")
        if self.env.hosted:
            raise InputError(
                f"{name} runs {self.population} x {self.episodes} copies of an environment, and {type(self.env).__name__} "
                f"runs each in a process: give an environment in JAX."
            )

    @abstractmethod
    def begin(self, mean: Float[Array, " parameters"]) -> PyTree:
        """Returns the state of the search around the first mean."""

    @abstractmethod
    def ask(
        self, search: PyTree, mean: Float[Array, " parameters"], key: PRNGKeyArray
    ) -> Float[Array, "population parameters"]:
        """Returns the candidates of a generation."""

    @abstractmethod
    def tell(
        self,
        search: PyTree,
        mean: Float[Array, " parameters"],
        candidates: Float[Array, "population parameters"],
        returns: Float[Array, " population"],
    ) -> tuple[PyTree, Float[Array, " parameters"], dict[str, Float[Array, ""]]]:
        """Returns `(search, mean, charts)` after a generation. Returns are finite."""

    @property
    def steps_per_update(self) -> int:
        return (self.population + 2) * self.episodes * self._most_steps

    @property
    def _most_steps(self) -> int:
        return MOST_STEPS if self.episode_length is None else self.episode_length

    def policy(self, network: Model) -> ActionPolicy:
        return ActionPolicy(network)

    def timeline_metrics(self, extras: tuple[()]) -> dict[str, Any]:
        return {}

    def network_in(self, state: EvolutionState) -> Model:
        return state.network

    def init(self, key: PRNGKeyArray) -> EvolutionState:
        check_shapes(self.env)
        network_key, key = jax.random.split(key)
        network = self.network(self.env, key=network_key)
        check_actions(network, self.env)
        return EvolutionState(network, self.begin(parameters_of(network)), key, jnp.zeros((), int))

    def update(self, state: EvolutionState) -> tuple[EvolutionState, Outcome]:
        key, ask_key, world_key, fresh_key = jax.random.split(state.key, 4)
        mean = parameters_of(state.network)
        candidates = self.ask(state.search, mean, ask_key)
        played = jnp.mean(self._play(state.network, candidates, world_key).returns, axis=1)
        finite = jnp.isfinite(played)
        worst = jnp.min(jnp.where(finite, played, jnp.inf))
        returns = jnp.where(finite, played, jnp.where(jnp.any(finite), worst, 0))
        search, moved, charts = self.tell(state.search, mean, candidates, returns)
        shown = jnp.stack([moved, candidates[jnp.argmax(returns)]])
        fresh = self._play(state.network, shown, fresh_key)
        each = jnp.asarray(self.episodes, fresh.returns.dtype)
        metrics = {
            "episodic_return": Tally(jnp.sum(fresh.returns[0]), each),
            "episodic_length": Tally(jnp.sum(fresh.lengths[0]).astype(each.dtype), each),
            "best_return": Tally(jnp.sum(fresh.returns[1]), each),
            "population_return": Tally(jnp.sum(returns), jnp.asarray(self.population, each.dtype)),
        }
        metrics |= {name: Tally(value, jnp.ones_like(value)) for name, value in charts.items()}
        state = EvolutionState(with_parameters(state.network, moved), search, key, state.updates + 1)
        return state, Outcome(-jnp.mean(returns), metrics)

    def _play(
        self, network: Network, candidates: Float[Array, "candidates parameters"], key: PRNGKeyArray
    ) -> EpisodeStatistics:
        """The episodes of each candidate, `[candidate, episode]`, in worlds that the key determines."""

        def one(candidate):
            policy = self.policy(with_parameters(network, candidate))
            return evaluate(self.env, policy, key, self.episodes, self._most_steps)

        return jax.vmap(one)(candidates)


def parameters_of(network: Network) -> Float[Array, " parameters"]:
    """The parameters of a network as a vector."""
    return ravel_pytree(eqx.filter(network, eqx.is_inexact_array))[0]


def with_parameters(network: Network, mean: Float[Array, " parameters"]) -> Network:
    """The network with other parameters."""
    parameters, rest = eqx.partition(network, eqx.is_inexact_array)
    return eqx.combine(ravel_pytree(parameters)[1](mean), rest)
