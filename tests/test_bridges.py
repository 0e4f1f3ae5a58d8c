"""Bridges: Farback's environments are Gymnasium's, and those of Gymnasium and gymnax are Farback's."""

import inspect
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import farback.envs
from farback.envs import AbstractEnv, Feedback, GymEnv, Gymnasium, Gymnax, GymVectorEnv, Ladder, TMaze, check
from farback.envs.bridges.host import host_errors
from farback.envs.bridges.vector_env import AutoResetVectorEnv
from farback.envs.registered import ENVS
from farback.envs.spaces import HashableSpace, as_array, flat, mapped, sample
from farback.types import InputError

pytestmark = pytest.mark.slow

COPIES, STEPS = 3, 11
SEEDS = jnp.stack([jax.random.key(5 + copy) for copy in range(COPIES)])
"""The keys of the seeds 5, 6, ... of `GymVectorEnv`."""


@pytest.mark.filterwarnings("ignore:.*value is -?infinity", "ignore:.*we recommend using a symmetric and normalized space")
@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.__name__)
def test_registered_environments_pass_the_checker_of_gymnasium(env):
    """The warnings concern spaces: Gymnasium prefers bounds, of −1 and 1."""
    with jax.enable_x64(False):
        check_env(gymnasium.make(f"farback/{env.__name__}-v0").unwrapped)


def test_all_environments_are_registered():
    made = {env for env in vars(farback.envs).values() if inspect.isclass(env) and issubclass(env, AbstractEnv)}
    assert made - set(ENVS) == {
        AbstractEnv,
        farback.envs.Curriculum,
        farback.envs.Doom,
        farback.envs.MemoryStates,
        farback.envs.PerSecond,
        farback.envs.PreviousActionReward,
        farback.envs.Trials,
        Gymnasium,
        Gymnax,
    }
    env = gymnasium.make("farback:farback/TMaze-v0", corridor=7, previous_action_reward=True).unwrapped
    assert env.env == farback.envs.PreviousActionReward(TMaze(7))


def test_copies_in_one_program_equal_copies_one_by_one():
    """Across ends, and across resets of all and of some."""
    in_one = gymnasium.make_vec("farback/TMaze-v0", COPIES, corridor=3, extra=2)
    apart = gymnasium.make_vec("farback/TMaze-v0", COPIES, vectorization_mode="sync", corridor=3, extra=2)
    assert isinstance(in_one, GymVectorEnv)
    assert isinstance(apart, SyncVectorEnv)
    some = {"reset_mask": np.array([True, False, True])}
    for seed, options in ((3, None), (None, None), (None, some)):
        observations = [env.reset(seed=seed, options=options and dict(options)) for env in (in_one, apart)]
        np.testing.assert_array_equal(observations[0][0], observations[1][0])
        ends = 0
        for _ in range(9):
            actions = apart.action_space.sample()
            (*ours, _), (*theirs, _) = in_one.step(actions), apart.step(actions)
            for found, wanted in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == wanted.dtype
            ends += ours[2].sum()
        assert ends >= COPIES


def test_actions_must_lie_in_their_space():
    env, envs = GymEnv(TMaze(3)), GymVectorEnv(TMaze(3), 2)
    for act in (env.step, envs.step):
        with pytest.raises(InputError, match=r"call reset\(\)"):
            act(0)
    env.reset(seed=0)
    envs.reset(seed=0)
    for wrong in (2, 0.5, [1]):
        with pytest.raises(InputError, match=r"step\(action\): action is .* but must be in Discrete\(2\)"):
            env.step(wrong)
    with pytest.raises(InputError, match=r"must be of shape \(2,\), each in Discrete\(2\)"):
        envs.step(np.array([0, 1, 0]))
    for _ in range(3):
        env.step(1)
    with pytest.raises(InputError, match=r"it has ended; call reset\(\) first"):
        env.step(1)
    with pytest.raises(InputError, match="one for each of the 2 copies"):
        envs.reset(seed=[1])


def sample_float32(space, key):
    """Returns an element whose floats are exact in Gymnasium's float32."""
    element = sample(space, key)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32).astype(leaf.dtype), element)


def rollout(env, steps=STEPS):
    """Returns `(observation, first, last, feedback)`; actions depend on observations; leading axes `[time, copy]`."""
    space = env.observation_space

    def one(state, time):
        observation = env.observe(state.state)
        number = jnp.round(97 * flat(space, observation).sum()).astype(int) + time
        action = sample_float32(env.action_space, jax.random.fold_in(jax.random.key(0), number))
        after, feedback = env.auto_step(state, action)
        return after, (observation, state.first, state.last, feedback)

    def all_copies(states, time):
        return jax.vmap(one, (0, None))(states, time)

    return jax.jit(lambda: jax.lax.scan(all_copies, jax.vmap(env.auto_reset)(SEEDS), jnp.arange(steps))[1])()


def hosted(env, mode=None):
    return Gymnasium(lambda copies: vector(env, mode, copies))


def assert_same(found, wanted):
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def vector(env, mode, copies=COPIES):
    """Copies of an environment with a given autoreset mode."""
    if mode is None:
        return GymVectorEnv(env, copies)
    return SyncVectorEnv([lambda: GymEnv(env)] * copies, autoreset_mode=mode)


@pytest.mark.parametrize("mode", [None, *AutoresetMode], ids=str)
def test_rollout_on_the_host_equals_the_rollout_in_jax(mode):
    """In all autoreset modes. Modes with an additional reset run in an environment without random numbers."""
    drawn = mode in (None, AutoresetMode.NEXT_STEP)
    env = TMaze(3, extra=2) if drawn else Ladder(2, horizon=3)
    wanted = rollout(env)
    _, _, last, feedback = wanted
    assert last.sum() >= COPIES
    assert feedback.truncated.any() or drawn
    assert_same(rollout(hosted(env, mode)), wanted)


def test_control_a_wrong_autoreset_mode_changes_the_rollout():
    env = Ladder(2, horizon=3)

    def wrong(copies):
        venv = vector(env, AutoresetMode.SAME_STEP)
        venv.metadata["autoreset_mode"] = AutoresetMode.NEXT_STEP
        return venv

    assert not np.array_equal(rollout(Gymnasium(wrong))[0], rollout(env)[0])


def test_host_is_called_once_for_all_copies():
    """Several vector environments together equal each alone, and lost copies begin new episodes."""
    env = hosted(TMaze(3))
    calls = []
    step = env.host.step
    env.host.step = lambda *given: calls.append(len(given[0])) or step(*given)
    groups = jnp.stack([SEEDS, SEEDS[::-1]])
    auto_reset, auto_step = (jax.jit(jax.vmap(jax.vmap(one))) for one in (env.auto_reset, env.auto_step))
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(jax.vmap(env.auto_reset)(seeds) for seeds in groups))
    assert len(set(np.asarray(states.state.venv).ravel().tolist())) == 2
    after, feedback = auto_step(states, jnp.ones((2, COPIES), int))
    assert calls == [2 * COPIES]
    maze = TMaze(3)
    alone = [jax.vmap(maze.auto_step)(jax.vmap(maze.auto_reset)(seeds), jnp.ones(COPIES, int)) for seeds in groups]
    for index, (state, found) in enumerate(alone):
        assert_same(after.state.observation[index], jax.vmap(maze.observe)(state.state))
        assert_same(jax.tree.map(lambda leaf, index=index: leaf[index], feedback), found)
    env.host.venvs.clear()
    broken, feedback = auto_step(after, jnp.ones((2, COPIES), int))
    assert feedback.truncated.all()
    assert broken.last.all()
    anew, feedback = auto_step(broken, jnp.ones((2, COPIES), int))
    assert anew.first.all()
    assert not (feedback.truncated | anew.last).any()
    np.testing.assert_array_equal(anew.state.observation, broken.state.observation)
    assert not auto_step(anew, jnp.ones((2, COPIES), int))[0].first.any()
    assert auto_reset(groups).state.row.tolist() == [list(range(COPIES)), list(range(COPIES, 2 * COPIES))]


def test_environments_of_gymnasium_step_with_clipped_actions():
    env = Gymnasium("Pendulum-v1")
    assert rollout(env, 3)[0].shape == (3, COPIES, 3)
    copies = AutoResetVectorEnv(gymnasium.make_vec("Pendulum-v1", 2))
    copies.reset(0)
    with pytest.raises(InputError, match="actions of a model are NaN or infinite"):
        copies.step(np.zeros(2, bool), np.full((2, 1), np.nan))
    given = []
    copies.venv.step = lambda actions: given.append(actions) or (np.zeros((2, 3)), *np.zeros((3, 2)), {})
    copies.step(np.zeros(2, bool), np.array([[9.0], [-1.0]]))
    np.testing.assert_array_equal(given, [[[2.0], [-1.0]]])
    for one in (env.reset, lambda key: env.step((), jnp.zeros(1), key)):
        with pytest.raises(InputError, match="has no reset and no step of its own"):
            one(jax.random.key(0))


class Echo(AbstractEnv):
    """Observes the last action in a space of its own; the reward is the sum of the action."""

    actions: HashableSpace
    images: bool = False

    @property
    def observation_space(self):
        image = gymnasium.spaces.Box(0, 255, (4, 3), np.uint8)
        return image if self.images else gymnasium.spaces.Dict(action=self.action_space, image=image)

    @property
    def action_space(self):
        return self.actions.unwrapped

    def reset(self, key):
        return jnp.zeros((), int), sample_float32(self.action_space, key)

    def observe(self, state):
        time, action = state
        image = (jnp.arange(12).reshape(4, 3) + 250 * time).astype(np.uint8)
        return image if self.images else {"action": action, "image": image}

    def step(self, state, action, key):
        time = state[0] + 1
        action = mapped(as_array, self.action_space, action)
        return (time, action), Feedback(flat(self.action_space, action).sum(), time == 4, jnp.array(False))


SPACES = [
    gymnasium.spaces.Discrete(3, start=2),
    gymnasium.spaces.MultiDiscrete([2, 5]),
    gymnasium.spaces.MultiBinary(3),
    gymnasium.spaces.Box(-1.0, 2.0, (2, 2)),
    gymnasium.spaces.Dict(b=gymnasium.spaces.Discrete(3), a=gymnasium.spaces.MultiBinary(2)),
    gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.Dict(x=gymnasium.spaces.Box(0, 1, (2,)))]),
]
each_space = pytest.mark.parametrize("space", SPACES, ids=str)


@each_space
def test_actions_and_observations_of_all_spaces_pass_both_bridges(space):
    """From Farback to Gymnasium and back: the rollout on the host equals the rollout in JAX."""
    env = Echo(HashableSpace(space))
    there = hosted(env)
    assert there.action_space == space
    found = rollout(there)
    assert_same(found, rollout(env))
    assert found[2].sum() == 2 * COPIES


def test_actions_and_observations_of_nested_spaces_pass_a_sync_vector_environment():
    env = Echo(HashableSpace(gymnasium.spaces.Tuple(SPACES[-2:])))
    (found, *_), (wanted, *_) = (rollout(one, 4) for one in (hosted(env, AutoresetMode.SAME_STEP), env))
    assert_same(found["image"], wanted["image"])
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(lambda leaf: leaf.dtype, wanted)


@each_space
def test_environment_with_actions_of_all_spaces_passes_the_checker_of_gymnasium(space):
    with jax.enable_x64(False):
        env = GymEnv(Echo(HashableSpace(space), images=True))
        check(env.env, steps=20)
        env.reset(seed=0)
        for _ in range(3):
            observation, *_ = env.step(space.sample())
            assert env.observation_space.contains(observation)


def test_actions_must_have_the_structure_of_their_space():
    space = SPACES[-2]
    env = GymEnv(Echo(HashableSpace(space)))
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"action\['b'\] is 7, but must be in Discrete\(3\)"):
        env.step({"b": 7, "a": np.array([0, 1])})
    for wrong in (1, {"b": 1}):
        with pytest.raises(InputError, match=r"does not have the structure of Dict"):
            env.step(wrong)


def test_images_stay_uint8_through_both_bridges():
    env = Echo(HashableSpace(gymnasium.spaces.Discrete(2)), images=True)
    there = hosted(env)
    state = jax.vmap(there.auto_reset)(SEEDS)
    assert state.state.observation.dtype == np.uint8
    state, _ = jax.jit(jax.vmap(there.auto_step))(state, jnp.ones(COPIES, int))
    assert state.state.observation.dtype == np.uint8
    np.testing.assert_array_equal(state.state.observation[0], (np.arange(12).reshape(4, 3) + 250) % 256)
    for made in (GymEnv(env), GymVectorEnv(env, 2)):
        assert made.reset(seed=0)[0].dtype == np.uint8
        assert made.step(made.action_space.sample())[0].dtype == np.uint8
    widened = AnyDtype(env.actions, images=True)
    with pytest.raises(InputError, match="dtype int64, which is not in Box"):
        check(widened)


class AnyDtype(Echo):
    """Images as integers of the default width."""

    def observe(self, state):
        return super().observe(state).astype(int)


class Wrong(VectorEnv):
    """Copies that break the contract in one way, at the first step."""

    def __init__(self, how):
        self.how, self.num_envs = how, 2
        self.metadata = {} if how == "mode" else {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = gymnasium.spaces.Dict(
            place=gymnasium.spaces.Box(-1, 1, (2,)), kind=gymnasium.spaces.Discrete(3)
        )
        self.single_action_space = gymnasium.spaces.Discrete(2, start=1)
        self.time = 0

    def observation(self):
        place, kind = np.full((2, 2), 0.1 * self.time), np.zeros(2, int)
        if self.time:
            match self.how:
                case "nan":
                    place[1, 0] = np.nan
                case "shape":
                    place = place[:1]
                case "choice":
                    kind = kind + 3
                case "structure":
                    return place
        return {"place": place, "kind": kind}

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.observation(), {}

    def step(self, actions):
        assert actions.min() >= 1
        self.time += 1
        reward, ended = np.ones(2), np.zeros(2, bool)
        match self.how:
            case "reward":
                reward[1] = np.inf
            case "rewards":
                reward = 1.0
            case "final" | "resets":
                ended[0] = self.time == 1
        info = {"final_obs": np.array([self.single_observation_space.sample(), None])} if self.how == "resets" else {}
        return self.observation(), reward, ended, np.zeros(2, bool), info


@pytest.mark.parametrize(
    ("how", "message"),
    {
        "mode": "autoreset_mode'.* is None.* set it to a gymnasium.vector.AutoresetMode",
        "nan": r"Wrong gives observation\['place'\] = array\(\[nan, 0.1\]\) in copy 1: give finite",
        "shape": r"Wrong gives observation\['place'\] of shape \(1, 2\), but Box.* needs \(2, 2\)",
        "choice": r"Wrong gives observation\['kind'\] = array\(\[3, 3\]\) of dtype int64, which is not in Discrete\(3\)",
        "structure": r"Wrong gives \(2, 2\) \(shapes\), which is not in Dict",
        "reward": "Wrong gives the reward inf in copy 1",
        "rewards": r"Wrong gives reward of shape \(\): give one for each of 2 copies",
        "final": "info has no 'final_obs'",
        "resets": "resets copies outside of mask; give a vector environment with the NEXT_STEP autoreset mode",
    }.items(),
)
def test_results_of_a_vector_environment_are_checked(how, message):
    def step_twice(how):
        env = Gymnasium(lambda copies: Wrong(how))
        state = jax.vmap(env.auto_reset)(SEEDS[:2])
        for _ in range(2):
            state, _ = jax.jit(jax.vmap(env.auto_step))(state, jnp.ones(2, int))
        jax.block_until_ready(state)

    step_twice("")
    with pytest.raises(InputError, match=message), host_errors():
        step_twice(how)


class MissingPart(gymnasium.Env):
    def __init__(self, what):
        raise what


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "ALE/Pong-v5": "needs the package ale-py, which is missing: pip install ale-py",
        "farback/TMase-v0": r"has no environment farback/TMase-v0: .*Did you mean: `TMaze`.*Give an id of",
        "CartPole-v9": "has no environment CartPole-v9",
        "MissingPart-v0": r"MissingPart-v0: pip install gymnasium\[parts\]",
    }.items(),
)
def test_environments_that_cannot_be_made_are_refused(name, message):
    gymnasium.register(
        "MissingPart-v0", lambda: MissingPart(gymnasium.error.DependencyNotInstalled("pip install gymnasium[parts]"))
    )
    try:
        with pytest.raises(InputError, match=message):
            Gymnasium(name)
    finally:
        del gymnasium.registry["MissingPart-v0"]


class Params(NamedTuple):
    top: int = 3
    max_steps_in_episode: int = 4


class StairsState(NamedTuple):
    height: jax.Array
    time: jax.Array


class Box(NamedTuple):
    low: float
    high: float
    shape: tuple = (2,)
    dtype: type = np.float32


class Choices(NamedTuple):
    n: int


class Stairs:
    """A ladder in the form of gymnax, whose top ends an episode; before 1.0, one flag has both ends."""

    default_params = Params()

    def __init__(self, splits):
        self.splits = splits

    def reset_env(self, key, params):
        return jnp.zeros(2, np.float32), StairsState(0, 0)

    def step_env(self, key, state, action, params):
        state = StairsState(state.height + action, state.time + 1)
        ended = state.height >= params.top
        if not self.splits:
            ended = ended | (state.time >= params.max_steps_in_episode)
        return jnp.stack([state.height, state.time]), state, -0.5, ended, {}

    def step(self, key, state, action, params):
        *result, ended, info = self.step_env(key, state, action, params)
        return (*result, ended, ended, info) if self.splits else (*result, ended, info)

    def observation_space(self, params):
        return Box(0.0, 9.0)

    def action_space(self, params):
        return Choices(2)


@pytest.mark.parametrize("splits", [False, True], ids=["before 1.0", "1.0"])
def test_gymnax_ends_terminate_or_truncate(splits):
    env = Gymnax(Stairs(splits))
    with jax.enable_x64(False):
        check(env, steps=50)

    @jax.jit
    def ends(actions):
        _, (feedback, last) = jax.lax.scan(
            lambda state, action: ((after := env.auto_step(state, action))[0], (after[1], state.last)),
            env.auto_reset(jax.random.key(0)),
            actions,
        )
        return feedback.terminated, feedback.truncated, last

    climbs = ends(jnp.array([1, 1, 1, 0, 1, 0, 0, 0]))
    assert [list(map(int, row)) for row in climbs] == [
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0, 0, 0, 0],
    ]
    at_once = ends(jnp.array([0, 1, 1, 1]))
    assert (bool(at_once[0][3]), bool(at_once[1][3])) == ((True, False) if splits else (False, True))


def test_what_is_not_of_gymnax_is_refused():
    with pytest.raises(InputError, match=r"Gymnax\(env\): int has no reset_env; give an environment of gymnax"):
        Gymnax(3)
    stairs = Stairs(True)
    stairs.action_space = lambda params: "left or right"
    with pytest.raises(InputError, match="Gymnasium has no space like 'left or right'"):
        Gymnax(stairs)
