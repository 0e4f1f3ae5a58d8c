"""Sources of episodes of an environment."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.acting import AbstractPolicy, RandomPolicy, reset_envs, rollout
from farback.acting.rollout import initial_states
from farback.algorithm import Score
from farback.envs.base import AbstractEnv
from farback.memup.episodes import AbstractEpisodeSource, Trajectories, known_steps
from farback.memup.predictor import PredictorInputs
from farback.ops.returns import RewardSequence, discounted
from farback.ops.schedules import check_discount
from farback.tasks.base import regression
from farback.types import Number, Tally


class AbstractEnvEpisodes(AbstractEpisodeSource):
    """Episodes of an environment. The outcome of a step is the return from that step on,

        G_k = r_k + γ r_{k+1} + …

    The loss is the squared error. With γ = 0, as in the paper's
    T-maze, the outcome is the reward of the step.

    - `env`: the environment.
    - `steps`: the steps after which an episode is cut off.
    - `gamma`: the discount γ.
    """

    env: eqx.AbstractVar[AbstractEnv]
    gamma: eqx.AbstractVar[Number]

    @property
    @abstractmethod
    def acting(self) -> AbstractPolicy:
        """The policy that generates the episodes."""

    @property
    def observation_space(self) -> Space[Any]:
        return self.env.observation_space

    @property
    def action_space(self) -> Space[Any]:
        return self.env.action_space

    @property
    def output_size(self) -> int:
        return 1

    def draw(self, count: int, key: PRNGKeyArray) -> Trajectories:
        reset_key, act_key = jax.random.split(key)
        env, policy = self.env, self.acting
        start = (initial_states(policy, count), reset_envs(env, count, reset_key))
        played = rollout(env, policy, *start, act_key, self.steps)[2]

        over = jnp.cumsum(played.last, axis=1) > 0
        ended = played.terminated | played.truncated | over
        rewards = RewardSequence(played.reward, played.terminated, ended, jnp.zeros((count, self.steps + 1)))
        outcome = jax.vmap(lambda rewards: discounted(rewards, self.gamma))(rewards)
        inputs = PredictorInputs(played.observation, played.action)
        return Trajectories(inputs, jnp.where(over, 0, outcome), ~over)

    def loss(self, output: Float[Array, "1"], target: Float[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return regression(output, target[None].astype(output.dtype), jnp.ones((), output.dtype))

    def score(self, error: Float[Array, "batch time"], episodes: Trajectories) -> Score | None:
        """Returns the mean loss at the last step of an episode. The memoryless level is the variance of the outcome there,
        and the optimum is 0.
        """
        last = jnp.sum(episodes.mask, axis=1)[:, None] - 1
        final, outcome = (jnp.take_along_axis(leaf, last, axis=1) for leaf in (error, episodes.targets))
        return Score(jnp.mean(final), jnp.var(outcome), 0.0)


class RandomEpisodes(AbstractEnvEpisodes):
    """Episodes of uniformly random actions. The outcome of a step is its discounted return; see `AbstractEnvEpisodes`.

    **Arguments:**

    - `env`: the environment.
    - `steps`: the steps after which an episode is cut off. By default, the environment's `max_episode_steps`.
    - `gamma`: the discount γ of the returns to predict.
    """

    env: AbstractEnv
    steps: int
    gamma: Number

    def __init__(self, env: AbstractEnv, steps: int | None = None, gamma: Number = 0.0):
        check_discount(gamma)
        self.env, self.gamma = env, gamma
        self.steps = known_steps(steps, env.max_episode_steps, env)

    @property
    def acting(self) -> AbstractPolicy:
        return RandomPolicy(self.env)


class PolicyEpisodes(AbstractEnvEpisodes):
    """Episodes of a policy. The outcome of a step is its discounted return; see `AbstractEnvEpisodes`.

    **Arguments:**

    - `env`: the environment.
    - `policy`: the policy.
    - `steps`: the steps after which an episode is cut off. By default, the environment's `max_episode_steps`.
    - `gamma`: the discount γ of the returns to predict.
    """

    env: AbstractEnv
    policy: AbstractPolicy
    steps: int
    gamma: Number

    def __init__(self, env: AbstractEnv, policy: AbstractPolicy, steps: int | None = None, gamma: Number = 0.0):
        check_discount(gamma)
        self.env, self.policy, self.gamma = env, policy, gamma
        self.steps = known_steps(steps, env.max_episode_steps, env)

    @property
    def acting(self) -> AbstractPolicy:
        return self.policy
