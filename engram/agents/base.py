"""What an agent is: it plays, sees what came of it, and changes its model."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from engram.agents.acting import Playing, Steps, begin, decide, next_value, record, rollout
from engram.agents.distributions import outputs
from engram.agents.ramp import Ramp, ends
from engram.cell import AbstractCell, State
from engram.envs.base import AbstractEnv, Feedback
from engram.envs.check import check_shapes
from engram.envs.spaces import width
from engram.estimators.base import AbstractEstimator, example_keys
from engram.objectives.returns import Rewarded
from engram.step import Model, Supervised
from engram.types import Carry, InputError, Outcome, Tally, Window


class Acting(eqx.Module):
    """The whole state of an agent: all that is needed to go on exactly as if nothing had come between."""

    model: Model
    optimiser: PyTree
    carry: Carry
    playing: Playing
    key: PRNGKeyArray
    updates: Int[Array, ""]


class Played(eqx.Module):
    """A rollout, and the value of what came after its last step."""

    steps: Steps
    last: Float[Array, " batch"]

    @property
    def rewarded(self) -> Rewarded:
        """What returns and advantages are made from; leading axis `[batch]`."""
        steps = self.steps
        value = jnp.concatenate([steps.value, self.last[:, None]], axis=1)
        return Rewarded(steps.reward, steps.terminated, steps.terminated | steps.truncated | steps.over, value)

    @property
    def weight(self) -> Float[Array, "batch time"]:
        """Weights of mean 1 for the steps in which something could be done; the others have none."""
        active = (~self.steps.over).astype(self.steps.reward.dtype)
        return active / jnp.maximum(jnp.mean(active), 1 / active.size)

    def window(self, targets: PyTree) -> Window:
        """The steps as those of a window with these targets."""
        return Window(self.steps.first, self.steps.seen, targets)


class AbstractAgent(eqx.Module):
    """Plays a rollout with several copies of an environment, learns from it, and goes on where it ended.

    Its model is a cell that puts out `(what a policy's distribution reads, [value])`. Credit passes through time by an
    estimator, which sees each rollout as one window: truncated backpropagation cuts it into pieces, and forward estimators
    carry their traces on from one rollout to the next, through the memory that was carried.

    What is exact, and what is stale: within a rollout the parameters do not move, and all that an estimator promises holds.
    The memory that a rollout begins with, and the trace of it, are those that the parameters before had made of the past.
    """

    env: eqx.AbstractVar[AbstractEnv]
    estimator: eqx.AbstractVar[AbstractEstimator]
    optimiser: eqx.AbstractVar[optax.GradientTransformation]

    @abstractmethod
    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        """The model and the optimiser's state after a rollout, the carry at its end, and what it had to say."""

    @abstractmethod
    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """What a step of the rollout is charged."""

    @abstractmethod
    def targets(self, played: Played) -> PyTree:
        """What the steps of a rollout are charged for."""

    @property
    def step(self) -> Supervised:
        return Supervised(self.loss)

    def init(self, model: Model, batch: int, *, key: PRNGKeyArray) -> Acting:
        """The state before the first update, with so many copies of the environment."""
        if batch < 1:
            raise InputError(f"batch={batch}: an agent plays 1 environment at least; give batch >= 1.")
        check_shapes(self.env)
        play_key, key = jax.random.split(key)
        return self.start(model, begin(self.env, batch, play_key), key)

    def start(self, model: Model, playing: Playing, key: PRNGKeyArray) -> Acting:
        """The state before the first update, of environments that are being played."""
        self._check_output(model)
        updates = jnp.zeros((), int)
        agent = self.now(updates)
        shapes = jax.eval_shape(lambda: agent._window(model, playing))
        window = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        carry = self.estimator.init(agent.step, model, window)
        optimiser = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        return Acting(model, optimiser, carry, playing, key, updates)

    def _window(self, model, playing):
        """A window of one step, in which nothing comes of the actions."""
        memory, keys = self.step.initial(model, len(playing.total)), example_keys(jax.random.key(0), len(playing.total))
        _, seen, choice = decide(self.env, model, memory, playing.plays, keys, jnp.zeros((), int))
        nothing = Feedback(jnp.zeros_like(playing.total), playing.plays.over, playing.plays.over)
        _, (steps, _) = record(playing, seen, choice, playing.plays, nothing)
        played = Played(jax.tree.map(lambda leaf: leaf[:, None], steps), playing.total)
        return played.window(self.targets(played))

    def _check_output(self, model):
        if not isinstance(model, AbstractCell):
            raise InputError(
                f"{type(model).__name__} is no cell: give one that puts out (policy, value), as of actor_critic."
            )
        seen = jnp.zeros(width(self.env.observation_space))
        found = jax.eval_shape(lambda: model(model.initial(), seen)[1])
        size = outputs(self.env.action_space)
        sound = isinstance(found, tuple) and len(found) == 2 and jax.tree.leaves(found[0])[0].shape == (size,)
        if not sound or not isinstance(found[1], jax.ShapeDtypeStruct) or found[1].shape != (1,):
            raise InputError(
                f"The model puts out {found}, but an agent with the actions {self.env.action_space} wants (policy, value), "
                f"of {size} numbers and of 1: make it with actor_critic, or end it with "
                f"Parallel(PolicyHead(features, env.action_space, key=key), eqx.nn.Linear(features, 1, key=key))."
            )

    def update(self, state: Acting, length: int) -> tuple[Acting, Outcome]:
        """Plays so many steps of each environment, and learns from them."""
        key = acting_key(state)
        return self.finish(state, *rollout(self.env, state.model, state.carry.state, state.playing, key, length))

    def finish(
        self, state: Acting, memory: State, playing: Playing, steps: Steps, scores: dict[str, Tally]
    ) -> tuple[Acting, Outcome]:
        """Learns from a rollout that began in this state: all of an update but the playing."""
        key, _, learn_key = jax.random.split(state.key, 3)
        played = Played(steps, next_value(self.env, state.model, memory, playing))
        model, optimiser, carry, outcome = self.now(state.updates).learn(state, played, learn_key)
        outcome = Outcome(outcome.loss, outcome.metrics | scores)
        return Acting(model, optimiser, carry, playing, key, state.updates + 1), outcome

    def now(self, updates: Int[Array, ""]) -> "AbstractAgent":
        """This agent after so many updates: what was a `Ramp` is its number."""

        def is_ramp(part):
            return isinstance(part, Ramp)

        return jax.tree.map(lambda part: part(updates) if is_ramp(part) else part, self, is_leaf=is_ramp)

    @eqx.filter_jit
    def train(self, state: Acting, updates: int, length: int) -> tuple[Acting, Outcome]:
        """Many updates in one compiled program; outcomes are stacked."""
        dynamic, static = eqx.partition(state, eqx.is_array)

        def one(dynamic, _):
            state, outcome = self.update(eqx.combine(dynamic, static), length)
            return eqx.filter(state, eqx.is_array), outcome

        dynamic, outcomes = jax.lax.scan(one, dynamic, None, updates)
        return eqx.combine(dynamic, static), outcomes


def acting_key(state: Acting) -> PRNGKeyArray:
    """What the actions of the next rollout are drawn from."""
    return jax.random.split(state.key, 3)[1]


def check_discount(gamma: float | Ramp) -> None:
    if not all(0 <= value <= 1 for value in ends(gamma)):
        raise InputError(f"gamma={gamma}: a discount is between 0 and 1.")
