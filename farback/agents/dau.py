"""Deep advantage updating: Q-learning that does not depend on the time step.

Reference: Tallec, Blier and Ollivier, *Making deep Q-learning methods robust to time discretization*, ICML 2019.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.acting import AbstractPolicy, Trajectory
from farback.agents.base import output_shapes
from farback.agents.box_actions import BoxActions
from farback.agents.dau_network import ValueAdvantage
from farback.agents.exploration import AbstractExploration, NoExploration, OrnsteinUhlenbeck
from farback.agents.off_policy import (
    AbstractOffPolicyAgent,
    ExploringState,
    Improvement,
    Learner,
    StoredMemory,
    as_constant,
    bootstrapped,
    check_off_policy,
    first_memory,
    outputs,
)
from farback.agents.q_network import require_discrete
from farback.agents.value_exploration import explore_values, initial_exploration
from farback.cell import AbstractCell, reset
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.network import Network
from farback.ops.gradients import scale_gradient
from farback.ops.optimizers import RMSpropInTime, descend_each, descent_metrics, init_each
from farback.ops.schedules import LinearSchedule, value_at
from farback.step import AbstractStep, Metrics, Model
from farback.types import InputError, Number, Outcome, Tally, Window


class DAUPolicy(AbstractPolicy):
    """Takes the action of the policy or, if actions are discrete, that of the largest advantage; and explores.

    **Arguments:**

    - `network`: the network.
    - `env`: the environment that defines the action space.
    - `exploration`: changes the action or, if actions are discrete, the advantages before the largest is chosen.
    """

    network: ValueAdvantage
    env: AbstractEnv
    exploration: AbstractExploration

    def initial(self) -> ExploringState:
        space = self.env.action_space
        if isinstance(space, Discrete):
            return ExploringState(self.network.memory.initial(), initial_exploration(self.exploration, space))
        return ExploringState(self.network.memory.initial(), self.exploration.initial(space))

    def __call__(
        self, state: ExploringState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[ExploringState, Any, StoredMemory]:
        network, memory, space = self.network, self.network.memory, self.env.action_space
        after, output = memory(reset(memory, state.memory, jnp.asarray(first)), network.encoder(observation))
        if isinstance(space, Discrete):
            advantages = network.advantage.head(output[1])
            explored, action = explore_values(self.exploration, space, state.exploration, advantages, first, key)
        else:
            policy: Any = network.policy
            best = BoxActions(self.env, "The policy").from_unit(policy.head(output[2]))
            explored, action = self.exploration(space, state.exploration, best, first, key)
        return ExploringState(after, explored), action, StoredMemory(state.memory, network.value.head(output[0]))


class DAUTargets(NamedTuple):
    """The targets of a step.

    - `action`: the action taken: its index, or a vector in [−1, 1].
    - `value`: y, the target of V + δt A.
    - `weight`: the weight of the step.
    """

    action: Array
    value: Float[Array, "*steps"]
    weight: Float[Array, "*steps"]


class DAUStep(AbstractStep):
    """The step of a `ValueAdvantage`.

    **Arguments:**

    - `dt`: δt, the seconds between two steps.
    """

    dt: Number

    def encoder(self, model: ValueAdvantage) -> PyTree:
        return model.encoder

    def encode(self, model: ValueAdvantage, data: Window) -> Any:
        return model.encoder(data.inputs)

    def memory(self, model: ValueAdvantage) -> AbstractCell:
        return model.memory

    def loss(self, model: ValueAdvantage, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        """Returns δ² / 2, and the loss of the policy. The gradient of δ with respect to V is multiplied by δt."""
        target = data.targets
        value = model.value.head(output[0])
        advantage, policy_loss = self._advantage(model, output, target.action)
        error = (scale_gradient(value, self.dt) - target.value) / self.dt + advantage
        terms = {"losses/td_error": jnp.abs(error), "charts/values": value, "charts/advantages": advantage}
        loss = error**2 / 2
        if policy_loss is not None:
            terms["losses/policy_loss"] = policy_loss
            loss += policy_loss
        weight = target.weight
        return weight * loss, {name: Tally(weight * term, weight) for name, term in terms.items()}

    def _advantage(self, model: ValueAdvantage, output: Any, action: Array) -> tuple[Array, Array | None]:
        """Returns `(advantage, policy_loss)` of an action."""
        head: Any = model.advantage.head
        if model.policy is None:
            each = head(output[1])
            return each[action] - jnp.max(each), None
        proposed = model.policy.head(output[2])
        advantage = head(output[1], action) - head(output[1], jax.lax.stop_gradient(proposed))
        return advantage, -as_constant(head)(jax.lax.stop_gradient(output[1]), proposed)


class DAU(AbstractOffPolicyAgent):
    """Deep advantage updating: learns a value and the advantages of actions, which both have a limit for short time steps.

    As the time step δt of an environment tends to 0, the values of all actions tend to that of the state, and methods that
    learn Q, such as DQN and DDPG, fail. Here Q = V + δt A, and V and A have a network each.

        A(o, a) = Ā(o, a) − Ā(o, π(o)),      π(o) = argmax_a Ā(o, a)      for discrete actions
        y_t = r_t + γ^δt V⁻(o_{t+1}),      δ_t = (V(o_t) + δt A(o_t, a_t) − y_t) / δt
        θ ← θ − α δt mean_t δ_t ∂V/∂θ,      ψ ← ψ − α δt mean_t δ_t ∂A/∂ψ      by RMSprop, decay 1 − δt
        φ ← φ + β δt mean_t ∂Ā(o_t, π(o_t))/∂φ      for continuous actions, by RMSprop too

    All rates are per second, so that learning takes the same physical time whatever δt is. The rewards of the environment
    must be proportional to δt: `PerSecond` makes them so. Do not use it where a time step has no physical meaning.

    **Arguments:**

    - `env`: an environment in physical time, such as PerSecond(Pendulum(dt=0.01)).
    - `network`: the network, a maker `network(env, key=key)` such as a `DAUNetwork`.
    - `estimator`: how credit passes through a window: BPTT(), TBPTT(k) or ARTBP(k).
    - `value_learning_rate`: α, the learning rate of V and A per second.
    - `policy_learning_rate`: β, the learning rate of the policy per second.
    - `exploration`: how actions differ from the best ones. Noise is added to the advantages of discrete actions. By
      default, OrnsteinUhlenbeck(7.5, 1.5, dt, reset=False), with the dt of the environment.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps in each copy between two updates.
    - `buffer_size`: the number of steps in the replay, over all copies.
    - `buffer_on_host`: whether a run keeps the replay in memory-mapped files of the host, for want of room on the device.
    - `batch_size`: the number of windows of a gradient step.
    - `sequence_length`: the time steps of a window that are learnt.
    - `burn_in`: the time steps before them, from which only the memories are recomputed.
    - `learning_starts`: the number of steps in the replay, over all copies, before the first gradient step. Until then,
      actions are uniformly random.
    - `gradient_steps`: the number of gradient steps of an update.
    - `gamma`: the discount γ of rewards per second: a number, or a LinearSchedule.
    - `target_rate`: how far the target moves towards the network, 0 < τ <= 1. With 1, the target is the network.
    - `target_period`: the gradient steps between two moves of the target.
    - `within_episodes`: whether windows that contain a part of more than one episode are left out.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    value_learning_rate: float = 0.1
    policy_learning_rate: float = 0.02
    exploration: AbstractExploration | None = None
    num_envs: int = 256
    window: int = 10
    buffer_size: int = 1_000_000
    buffer_on_host: bool = False
    batch_size: int = 256
    sequence_length: int = 1
    burn_in: int = 0
    learning_starts: int = 2_560
    gradient_steps: int = 50
    gamma: float | LinearSchedule = 0.8
    target_rate: float = 1.0
    target_period: int = 1
    within_episodes: bool = False
    n_step = 1
    prioritized = False
    priority_exponent = 0.0
    importance_exponent = 0.0

    def __check_init__(self):
        check_off_policy(self)
        for name in ("value_learning_rate", "policy_learning_rate"):
            if not isinstance(rate := getattr(self, name), jax.Array) and not rate > 0:
                raise InputError(f"DAU({name}={rate}): give a positive number.")
        if not 0 < self.dt < 1:
            raise InputError(f"DAU(env=...): a time step of {self.dt} seconds is too long; give 0 < dt < 1.")

    @property
    def dt(self) -> float:
        """δt, the seconds between two steps."""
        if self.env.time_step is None:
            raise InputError(
                f"DAU(env=...): {type(self.env).__name__} does not state its time step; give an environment in physical "
                f"time, such as PerSecond(Pendulum(dt=0.01)), or another agent."
            )
        return self.env.time_step

    def policy(self, network: Model) -> DAUPolicy:
        return DAUPolicy(network, self.env, NoExploration())

    def behaviour(self, network: Model) -> DAUPolicy:
        noise = OrnsteinUhlenbeck(7.5, 1.5, self.dt, reset=False) if self.exploration is None else self.exploration
        return DAUPolicy(network, self.env, noise)

    def timeline_metrics(self, extras: StoredMemory) -> dict[str, Any]:
        return {"charts/value": extras.value}

    @property
    def _optimizers(self) -> tuple[RMSpropInTime, RMSpropInTime]:
        return RMSpropInTime(self.value_learning_rate, self.dt), RMSpropInTime(self.policy_learning_rate, self.dt)

    def init_optimizer(self, network: Model) -> PyTree:
        return init_each(self._optimizers, _halves(network))

    def check_network(self, network: Model) -> None:
        name, remedy = type(self).__name__, "make it with DAUNetwork(cell)"
        if not isinstance(network, ValueAdvantage):
            raise InputError(
                f"{type(network).__name__} is no network of a value and an advantage, as {name} needs: {remedy}."
            )
        if network.policy is None:
            part, size = network.advantage, int(require_discrete(self.env, name).n)
        else:
            part, size = network.policy, BoxActions(self.env, name).size
        found = output_shapes(part, self.env)
        if not isinstance(found, jax.ShapeDtypeStruct) or found.shape != (size,):
            raise InputError(f"The network's output is {found}, but {name} needs a vector of {size} floats: {remedy}.")

    def improve(
        self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Improvement:
        network: Any = learner.network
        target: Any = learner.target
        following = outputs(target.value, first_memory(steps)[0], steps)
        value = bootstrapped(steps, following[..., None], value_at(self.gamma) ** self.dt, self.n_step)[..., 0]
        memory, (learnt, value) = self.after_burn_in(network, steps, (steps, value))
        targets = DAUTargets(self._vectors(learnt.action), value, learnt.weight * weight[:, None])
        window, step = Window(learnt.first, learnt.observation, targets), DAUStep(self.dt)
        carry = self.estimator.init(step, network, window, memory)
        gradient, _, outcome = self.estimator.gradient(step, network, carry, window, key)
        metrics = outcome.metrics | descent_metrics(self._optimizers[0], gradient, learner.gradient_steps)
        learner = self._descend(learner, gradient, outcome)
        return Improvement(learner, Outcome(outcome.loss, metrics), jnp.zeros_like(value))

    def _vectors(self, action: Any) -> Array:
        """The actions as indices, or as vectors in [−1, 1]."""
        if isinstance(space := self.env.action_space, Discrete):
            return action - int(space.start)
        return jax.vmap(jax.vmap(BoxActions(self.env, type(self).__name__).to_unit))(action)

    def _descend(self, learner: Learner, gradient: Any, outcome: Outcome) -> Learner:
        parts = _halves(learner.network), learner.optimizer, _halves(gradient)
        ((value, advantage), policy), states = descend_each(self._optimizers, *parts, outcome.loss)
        return Learner(ValueAdvantage(value, advantage, policy), learner.target, states, learner.gradient_steps)


def _halves(network: Any) -> tuple[tuple[Network, Network], Network | None]:
    """Returns the part that α trains, and that which β trains."""
    return (network.value, network.advantage), network.policy
