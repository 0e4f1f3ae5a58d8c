"""Agents on every kind of action and observation."""

import functools

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from states import identical
from tiers import slow_except
from tiny_envs import Parts, Picture, with_actions

from farback.acting import RandomPolicy, reset_envs, rollout
from farback.agents import PPO, ActorCriticNetwork, PolicyGradient
from farback.cells import MLP
from farback.encoders import Conv
from farback.envs import Gymnasium
from farback.envs.spaces import contains, parts
from farback.estimators import BPTT
from farback.types import InputError

pytestmark = pytest.mark.slow

CONV = functools.partial(Conv, channels=(2,), kernel=3, stride=2, features=4)
AGENTS = {"PolicyGradient": PolicyGradient, "PPO": functools.partial(PPO, epochs=2, minibatches=1)}
ACTIONS = {
    "Discrete": Discrete(3),
    "Discrete-start": Discrete(3, start=-1),
    "MultiDiscrete": MultiDiscrete([2, 3]),
    "MultiDiscrete-2d": MultiDiscrete([[2, 3], [4, 2]]),
    "MultiBinary": MultiBinary(3),
    "Box": Box(-1, 1, (2,)),
    "Box-unbounded": Box(-np.inf, np.inf, ()),
    "Dict": Dict(move=Discrete(2, start=1), force=Box(-1, 1, (2,))),
    "Tuple": Tuple([MultiBinary(2), Dict(one=Box(0, 1, (1,)), other=MultiDiscrete([2, 2]))]),
}


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make(agent, env, encoder=None):
    network = ActorCriticNetwork(functools.partial(MLP, size=8), encoder)
    return AGENTS[agent](env, network, BPTT(), optax.adam(1e-2), num_envs=4, window=6)


def collect(agent, state):
    """A rollout of the agent's policy."""
    policy = agent.policy(state.network)
    return rollout(agent.env, policy, state.carry.state, state.envs, state.key, agent.window)[2]


@pytest.mark.parametrize("name", slow_except(("Discrete-start", "Tuple"), ACTIONS))
def test_agents_learn_from_every_space_of_actions(name):
    """The agents alternate over the spaces."""
    agent = list(AGENTS)[list(ACTIONS).index(name) % len(AGENTS)]
    made = make(agent, with_actions(ACTIONS[name]))
    state = eqx.filter_jit(made.init)(jax.random.key(0))
    steps = eqx.filter_jit(lambda state: collect(made, state))(state)
    for space, action in parts(ACTIONS[name], steps.action):
        assert action.shape == (4, 6, *space.shape)
        if not isinstance(space, Box):  # the environment clips continuous actions
            assert contains(space, action, (4, 6))
    after, outcome = eqx.filter_jit(made.update)(state)
    assert np.isfinite(outcome.loss)
    assert outcome.metrics["losses/grad_norm"].mean > 0
    assert not identical(after.network, state.network)
    greedy = made.policy(state.network, greedy=True)
    one, other = (greedy(greedy.initial(), jnp.array(0), True, jax.random.key(key))[1] for key in (0, 1))
    assert identical(one, other)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Box(0, 5, (2,), np.int64), "no distribution over a Box of integers.*Discrete"),
        (Box(0, 255, (2,), np.uint8), "no distribution over a Box of integers"),
        (Text(3), "Text spaces"),
        (Sequence(Discrete(2)), "Sequence spaces"),
        (Graph(Discrete(2), None), "Graph spaces"),
        (Dict(good=Discrete(2), bad=Text(3)), "Text spaces"),
    ],
    ids=["int-box", "uint8-box", "text", "sequence", "graph", "dict"],
)
def test_agents_refuse_other_spaces_of_actions(space, message):
    with pytest.raises(InputError, match=message):
        make("PPO", with_actions(space)).init(jax.random.key(0))


@pytest.mark.parametrize(("env", "name"), [(Picture(), None), (Parts(), "image")], ids=["image", "dict"])
def test_rollout_keeps_uint8_images(env, name):
    _, _, steps, _ = rollout(env, RandomPolicy(env), (), reset_envs(env, 4, jax.random.key(0)), jax.random.key(1), 6)
    image = steps.observation if name is None else steps.observation[name]
    assert image.dtype == jnp.uint8
    assert set(np.unique(image)) == {0, 255}


class HostedPicture(gymnasium.Env):
    """An episode of two images, which brings 1 if the action is 1 on a bright one."""

    observation_space = Box(0, 255, (6, 6, 1), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._image(), {}

    def step(self, action):
        reward = float((action == 1) == (self.bright == 1))
        self.time += 1
        return self._image(), reward, self.time == 2, False, {}

    def _image(self):
        self.bright = self.np_random.integers(2)
        return np.full((6, 6, 1), 255 * self.bright, np.uint8)


def hosted():
    return Gymnasium(lambda copies: SyncVectorEnv([HostedPicture] * copies, autoreset_mode=AutoresetMode.NEXT_STEP))


def test_hosted_images_stay_uint8_and_agents_learn_from_them():
    agent = make("PPO", hosted(), CONV)
    state = eqx.filter_jit(agent.init)(jax.random.key(0))
    steps = eqx.filter_jit(lambda state: collect(agent, state))(state)
    assert steps.observation.dtype == jnp.uint8
    assert set(np.unique(steps.observation)) == {0, 255}
    after, outcome = eqx.filter_jit(agent.update)(state)
    assert np.isfinite(outcome.loss)
    assert not identical(after.network, state.network)
