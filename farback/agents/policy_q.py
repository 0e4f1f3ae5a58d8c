"""What DDPG and SAC share: acting with a policy and its critics, and their joint loss in windows of a replay."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.acting import AbstractPolicy, Trajectory
from farback.agents.base import output_shapes
from farback.agents.box_actions import BoxActions
from farback.agents.exploration import AbstractExploration
from farback.agents.off_policy import (
    AbstractOffPolicyAgent,
    ExploringState,
    Improvement,
    Learner,
    StoredMemory,
    as_constant,
    bootstrapped,
    first_memory,
    unrolled,
)
from farback.agents.policy_q_network import PolicyQ, SquashedGaussian
from farback.cell import AbstractCell, reset
from farback.envs.base import AbstractEnv
from farback.network import Network
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.schedules import value_at
from farback.step import AbstractStep, Metrics, Model
from farback.types import InputError, Outcome, Tally, Window


class PolicyQPolicy(AbstractPolicy):
    """Acts with a `PolicyQ`: a deterministic policy and exploration, or a sample of a stochastic policy.

    **Arguments:**

    - `network`: the network.
    - `env`: the environment that defines the action space.
    - `exploration`: changes the action.
    - `greedy`: whether a stochastic policy takes its mean instead of a sample.
    """

    network: PolicyQ
    env: AbstractEnv
    exploration: AbstractExploration
    greedy: bool = eqx.field(static=True, default=False)

    def initial(self) -> ExploringState:
        return ExploringState(self.network.memory.initial(), self.exploration.initial(self.env.action_space))

    def __call__(
        self, state: ExploringState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[ExploringState, Any, StoredMemory]:
        memory, actions = self.network.memory, BoxActions(self.env, "The policy")
        features = self.network.encoder(observation)
        after, output = memory(reset(memory, state.memory, jnp.asarray(first)), features)
        noise_key, explore_key = jax.random.split(key)
        unit = self.network.policy.head(output[0])
        if isinstance(unit, SquashedGaussian):
            shape = unit.mean.shape
            unit, _ = unit.sample(jnp.zeros(shape) if self.greedy else jax.random.normal(noise_key, shape))
        explored, action = self.exploration(
            self.env.action_space, state.exploration, actions.from_unit(unit), first, explore_key
        )
        critic: Any = self.network.critic.head
        value = jnp.min(critic(output[1], actions.to_unit(action)))
        return ExploringState(after, explored), action, StoredMemory(state.memory, value)


class PolicyQTargets(NamedTuple):
    """The targets of a step.

    - `unit`: the action taken, as a vector in [−1, 1].
    - `value`: the target of the critics.
    - `noise`: the standard Gaussian noise of the policy's action in the loss.
    - `weight`: the weight of the step in the critics' loss.
    - `active`: the weight of the step in the policy's loss.
    """

    unit: Float[Array, "*steps actions"]
    value: Float[Array, "*steps"]
    noise: Float[Array, "*steps actions"]
    weight: Float[Array, "*steps"]
    active: Float[Array, "*steps"]


class PolicyQStep(AbstractStep):
    """The step of a `PolicyQ`.

    **Arguments:**

    - `policy_loss`: maps (model, output of the policy's head, value of an action, noise) to (loss, metrics) of one step.
    """

    policy_loss: Callable[..., tuple[Float[Array, ""], dict[str, Any]]]

    def encoder(self, model: Model) -> PyTree:
        return model.encoder

    def encode(self, model: Model, data: Window) -> Any:
        return model.encoder(data.inputs)

    def memory(self, model: Model) -> AbstractCell:
        return model.memory

    def loss(self, model: Model, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        """Returns Σ_i (q_i(a) − y)² / 2 plus the loss of the policy, for which the critics are constants."""
        target = data.targets
        values = model.critic.head(output[1], target.unit)
        critic, features = as_constant(model.critic.head), output[1]
        value_loss = jnp.sum((values - target.value) ** 2) / 2
        policy_loss, terms = self.policy_loss(
            model,
            model.policy.head(output[0]),
            lambda unit: critic(jax.lax.stop_gradient(features), unit),
            target.noise,
        )
        terms |= {"losses/policy_loss": policy_loss, "losses/value_loss": value_loss, "charts/q_values": values[0]}
        loss = target.weight * value_loss + target.active * policy_loss
        return loss, {name: Tally(target.active * term, target.active) for name, term in terms.items()}


class AbstractPolicyQAgent(AbstractOffPolicyAgent):
    """Learns a policy and its critics from windows of a replay, each with an optimizer of its own."""

    exploration: eqx.AbstractVar[AbstractExploration]
    optimizer: eqx.AbstractVar[Optimizer]
    policy_optimizer: eqx.AbstractVar[Optimizer]
    policy_period: eqx.AbstractVar[int]

    def behaviour(self, network: Model) -> PolicyQPolicy:
        return PolicyQPolicy(network, self.env, self.exploration)

    def timeline_metrics(self, extras: StoredMemory) -> dict[str, Any]:
        return {"charts/value": extras.value}

    def init_optimizer(self, network: Model) -> PyTree:
        critic, policy = eqx.filter(_halves(network), eqx.is_inexact_array)
        return self.optimizer.init(critic), self.policy_optimizer.init(policy)

    @property
    @abstractmethod
    def stochastic(self) -> bool:
        """Whether the policy is stochastic, with a temperature."""

    def check_network(self, network: Model) -> None:
        name = type(self).__name__
        size, remedy = BoxActions(self.env, name).size, f"make it with {name}Network(cell)"
        if not isinstance(network, PolicyQ):
            raise InputError(
                f"{type(network).__name__} is no network of a policy and its critics, as {name} needs: {remedy}."
            )
        found = output_shapes(
            Network(network.encoder, network.memory, lambda output: network.policy.head(output[0])), self.env
        )
        shapes = [leaf.shape for leaf in jax.tree.leaves(found)]
        if isinstance(found, SquashedGaussian) != self.stochastic or shapes != [(size,)] * (1 + self.stochastic):
            kind = "mean and log_std" if self.stochastic else "vector"
            raise InputError(f"The policy's output is {found}, but {name} needs a {kind} of {size} floats: {remedy}.")

    @abstractmethod
    def next_values(
        self, learner: Learner, steps: Trajectory, theirs: Any, noise: Float[Array, "batch time actions"]
    ) -> Float[Array, "batch time"]:
        """Returns the values of the observations of windows, by the target.

        **Arguments:**

        - `theirs`: the outputs of the memories of the target.
        - `noise`: standard Gaussian noise.
        """

    @abstractmethod
    def policy_loss(
        self,
        network: PolicyQ,
        output: Any,
        values: Callable[[Float[Array, " actions"]], Float[Array, " critics"]],
        noise: Float[Array, " actions"],
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        """Returns `(loss, terms)` of one step: the loss of the policy, and other terms by their names in the log.

        **Arguments:**

        - `output`: the output of the policy's head.
        - `values`: the critics' values of an action, as constants in the parameters of the critics.
        - `noise`: standard Gaussian noise.
        """

    def improve(
        self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Improvement:
        value_key, noise_key, estimator_key = jax.random.split(key, 3)
        network, actions = learner.network, BoxActions(self.env, type(self).__name__)
        shape = (*steps.first.shape, actions.size)
        _, theirs = unrolled(learner.target, first_memory(steps), steps)
        value = self.next_values(learner, steps, theirs, jax.random.normal(value_key, shape))
        target = bootstrapped(steps, value[..., None], value_at(self.gamma), self.n_step)
        memory, (learnt, target, noise) = self.after_burn_in(
            network, steps, (steps, target[..., 0], jax.random.normal(noise_key, shape))
        )
        active = learnt.weight
        unit = jax.vmap(jax.vmap(actions.to_unit))(learnt.action)
        targets = PolicyQTargets(unit, target, noise, active * weight[:, None], active)
        window = Window(learnt.first, learnt.observation, targets)
        step = PolicyQStep(self.policy_loss)
        carry = self.estimator.init(step, network, window, memory)
        gradient, _, outcome = self.estimator.gradient(step, network, carry, window, estimator_key)
        error = self._errors(network, memory, learnt, unit, target) if self.prioritized else jnp.zeros_like(target)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, learner.gradient_steps)
        return Improvement(self._descend(learner, gradient, outcome), Outcome(outcome.loss, metrics), error)

    def _errors(self, network, memory, learnt, unit, target):
        """Returns |y − q_0(a)| of each step."""
        values = jax.vmap(jax.vmap(network.critic.head))(unrolled(network, memory, learnt)[1][1], unit)
        return jnp.where(learnt.last, 0, jnp.abs(target - values[..., 0]))

    def _descend(self, learner: Learner, gradient: Any, outcome: Outcome) -> Learner:
        """Makes a step of the critics, and at every `policy_period`-th gradient step one of the policy."""
        (critic, policy), (critic_gradient, policy_gradient) = _halves(learner.network), _halves(gradient)
        critic_state, policy_state = learner.optimizer
        critic, critic_state = descend(self.optimizer, critic, critic_state, critic_gradient, outcome.loss)
        stepped = descend(self.policy_optimizer, policy, policy_state, policy_gradient, outcome.loss)
        due = (learner.gradient_steps + 1) % self.policy_period == 0
        policy, policy_state = jax.tree.map(
            lambda new, old: jnp.where(due, new, old) if eqx.is_array(old) else old, stepped, (policy, policy_state)
        )
        network = PolicyQ(policy[0], critic, policy[1])
        return Learner(network, learner.target, (critic_state, policy_state), learner.gradient_steps)


def _halves(network: Any) -> tuple[Any, Any]:
    """Returns the part that the optimizer of the critics trains, and that which the policy's trains."""
    return network.critic, (network.policy, network.log_alpha)
