"""Engram's environments are Gymnasium's, and Gymnasium's and gymnax's are Engram's."""

import inspect
from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from tables import squared_error

import engram
import engram.envs
from engram import InputError
from engram.agents.acting import Playing, rollout
from engram.cells import Chain
from engram.envs import AbstractEnv, GymEnv, Gymnasium, Gymnax, GymVectorEnv, Ladder, Previous, TMaze, check
from engram.envs.copies import Copies
from engram.envs.host import told
from engram.envs.registered import ENVS
from engram.step import Supervised

COPIES, STEPS = 3, 11
SEEDS = jnp.stack([jax.random.key(5 + copy) for copy in range(COPIES)])
"""Keys that Gymnasium's seeds are."""


@pytest.mark.filterwarnings("ignore:.*value is -?infinity", "ignore:.*we recommend using a symmetric and normalized space")
@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.__name__)
def test_environments_are_gymnasiums(env):
    """The warnings are of spaces: Gymnasium would rather that numbers had bounds, and these of −1 and 1."""
    with jax.enable_x64(False):
        check_env(gymnasium.make(f"engram/{env.__name__}-v0").unwrapped)


def test_all_environments_are_registered():
    made = {env for env in vars(engram.envs).values() if inspect.isclass(env) and issubclass(env, AbstractEnv)}
    assert made - set(ENVS) == {
        AbstractEnv,
        engram.envs.Curriculum,
        engram.envs.Previous,
        engram.envs.Recalled,
        engram.envs.Trials,
        Gymnasium,
        Gymnax,
    }
    env = gymnasium.make("engram:engram/TMaze-v0", corridor=7, previous=True).unwrapped
    assert env.env == engram.envs.Previous(TMaze(7))


def test_copies_in_one_program_are_copies_one_by_one():
    """Across ends, and across resets of all and of some."""
    together = gymnasium.make_vec("engram/TMaze-v0", COPIES, corridor=3, extra=2)
    apart = gymnasium.make_vec("engram/TMaze-v0", COPIES, vectorization_mode="sync", corridor=3, extra=2)
    assert isinstance(together, GymVectorEnv)
    assert isinstance(apart, SyncVectorEnv)
    some = {"reset_mask": np.array([True, False, True])}
    for seed, options in ((3, None), (None, None), (None, some)):
        seen = [env.reset(seed=seed, options=options and dict(options)) for env in (together, apart)]
        np.testing.assert_array_equal(seen[0][0], seen[1][0])
        ends = 0
        for _ in range(9):
            actions = apart.action_space.sample()
            (*ours, _), (*theirs, _) = together.step(actions), apart.step(actions)
            for found, wanted in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == wanted.dtype
            ends += ours[2].sum()
        assert ends >= COPIES


def test_actions_are_in_their_space():
    env, envs = GymEnv(TMaze(3)), GymVectorEnv(TMaze(3), 2)
    for act in (env.step, envs.step):
        with pytest.raises(InputError, match=r"call reset\(\)"):
            act(0)
    env.reset(seed=0)
    envs.reset(seed=0)
    for wrong in (2, 0.5, [1]):
        with pytest.raises(InputError, match=r"step\(action\): action is .* but is to lie in Discrete\(2\)"):
            env.step(wrong)
    with pytest.raises(InputError, match=r"to lie of shape \(2,\), each in Discrete\(2\)"):
        envs.step(np.array([0, 1, 0]))
    for _ in range(3):
        env.step(1)
    with pytest.raises(InputError, match=r"it is over; call reset\(\) before"):
        env.step(1)
    with pytest.raises(InputError, match="one for each of the 2 copies"):
        envs.reset(seed=[1])


def make_model(env, traced=None):
    def count(x):
        if traced is not None:
            traced.append(x)
        return x

    model = engram.actor_critic(env, lambda size, key: engram.GRU(size, 4, key=key), shared=True, key=jax.random.key(1))
    return Chain(engram.Stateless(count), model)


def in_jax(env, model, length):
    plays = jax.vmap(env.begin)(SEEDS)
    playing = Playing(plays, jnp.zeros(COPIES), jnp.zeros(COPIES, int))
    memory = Supervised(squared_error).initial(model, COPIES)
    return eqx.filter_jit(rollout)(env, model, memory, playing, jax.random.key(9), length)


def hosted(env, mode=None):
    return Gymnasium(lambda copies: vector(env, mode, copies))


def assert_same(found, wanted):
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def vector(env, mode, copies=COPIES):
    """Copies of an environment whose autoresets are of a mode."""
    if mode is None:
        return GymVectorEnv(env, copies)
    return SyncVectorEnv([lambda: GymEnv(env)] * copies, autoreset_mode=mode)


@pytest.mark.parametrize("mode", [None, *AutoresetMode], ids=str)
def test_a_rollout_by_the_host_is_a_rollout(mode):
    """In all modes of autoresets; of those that reset once more than others, where chance is not moved on by resets."""
    drawn = mode in (None, AutoresetMode.NEXT_STEP)
    env = TMaze(3, extra=2) if drawn else Ladder(2, horizon=3)
    model = make_model(env)
    memory, playing, steps, scores = in_jax(env, model, STEPS)
    assert steps.over.sum() >= COPIES
    assert steps.truncated.any() or drawn
    host = in_jax(hosted(env, mode), model, STEPS)
    assert_same(host[2], steps)
    assert_same(host[3], scores)
    assert_same((host[0], host[1].total, host[1].length), (memory, playing.total, playing.length))
    assert_same((host[1].plays.first, host[1].plays.over), (playing.plays.first, playing.plays.over))


def test_control_an_autoreset_of_another_mode_is_seen():
    env = Ladder(2, horizon=3)

    def wrong(copies):
        venv = vector(env, AutoresetMode.SAME_STEP)
        venv.metadata["autoreset_mode"] = AutoresetMode.NEXT_STEP
        return venv

    model = make_model(env)
    steps, wanted = in_jax(Gymnasium(wrong), model, STEPS)[2], in_jax(env, model, STEPS)[2]
    assert not np.array_equal(steps.seen, wanted.seen)


def test_an_agent_learns_the_same_from_the_host():
    env = TMaze(3)
    model, key = make_model(env), jax.random.key(2)
    states, outcomes = [], []
    for each in (env, hosted(env)):
        agent = engram.PPO(each, engram.BPTT(), optax.sgd(0.1), epochs=2, minibatches=1)
        plays = jax.vmap(each.begin)(SEEDS)
        state = agent.start(model, Playing(plays, jnp.zeros(COPIES), jnp.zeros(COPIES, int)), key)
        state, outcome = agent.train(state, 2, 5)
        states.append(state)
        outcomes.append(outcome)
    wanted, learnt, before = (eqx.filter(model, eqx.is_array) for model in (*(state.model for state in states), model))
    assert_same(learnt, wanted)
    assert_same(outcomes[1], outcomes[0])
    assert_same(states[1].carry, states[0].carry)
    assert not np.allclose(jax.tree.leaves(learnt)[0], jax.tree.leaves(before)[0]), "nothing was learnt"


def test_the_host_is_asked_once_for_all():
    """Copies of several worlds side by side are those of each world by itself, and lost ones begin anew."""
    env = hosted(TMaze(3))
    asked = []
    step = env.host.step
    env.host.step = lambda *given: asked.append(len(given[0])) or step(*given)
    worlds = jnp.stack([SEEDS, SEEDS[::-1]])
    begin, act = (jax.jit(jax.vmap(jax.vmap(one))) for one in (env.begin, env.act))
    plays = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(jax.vmap(env.begin)(seeds) for seeds in worlds))
    assert len(set(np.asarray(plays.state.world).ravel().tolist())) == 2
    after, feedback = act(plays, jnp.ones((2, COPIES), int))
    assert asked == [2 * COPIES]
    apart = [jax.vmap(TMaze(3).act)(jax.vmap(TMaze(3).begin)(seeds), jnp.ones(COPIES, int)) for seeds in worlds]
    for index, (play, found) in enumerate(apart):
        assert_same(after.state.observation[index], jax.vmap(TMaze(3).observe)(play.state))
        assert_same(jax.tree.map(lambda leaf, index=index: leaf[index], feedback), found)
    env.host.worlds.clear()
    broken, feedback = act(after, jnp.ones((2, COPIES), int))
    assert feedback.truncated.all()
    assert broken.over.all()
    anew, feedback = act(broken, jnp.ones((2, COPIES), int))
    assert anew.first.all()
    assert not (feedback.truncated | anew.over).any()
    np.testing.assert_array_equal(anew.state.observation, broken.state.observation)
    assert not act(anew, jnp.ones((2, COPIES), int))[0].first.any()
    assert begin(worlds).state.place.tolist() == [list(range(COPIES)), list(range(COPIES, 2 * COPIES))]


def test_gymnasiums_own_environments():
    env = Gymnasium("Pendulum-v1")
    assert in_jax(env, make_model(env), 3)[2].seen.shape == (COPIES, 3, 3)
    copies = Copies(gymnasium.make_vec("Pendulum-v1", 2))
    copies.start(0)
    with pytest.raises(InputError, match="A model's actions are NaN or infinite"):
        copies.play(np.zeros(2, bool), np.full((2, 1), np.nan))
    given = []
    copies.venv.step = lambda actions: given.append(actions) or (np.zeros((2, 3)), *np.zeros((3, 2)), {})
    copies.play(np.zeros(2, bool), np.array([[9.0], [-1.0]]))
    np.testing.assert_array_equal(given, [[[2.0], [-1.0]]])
    with pytest.raises(InputError, match="it cannot be reset or stepped by itself"):
        Previous(env).begin(jax.random.key(0))


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
        "nan": r"Wrong shows observation\['place'\] = array\(\[nan, 0.1\]\) in copy 1: give finite",
        "shape": r"Wrong shows observation\['place'\] of shape \(1, 2\), but Box.* means \(2, 2\)",
        "choice": r"Wrong shows observation\['kind'\] = array\(\[3, 3\]\) of dtype int64, which is not in Discrete\(3\)",
        "structure": r"Wrong shows \(2, 2\) \(shapes\), which is not of Dict",
        "reward": "Wrong gives the reward inf in copy 1",
        "rewards": r"Wrong gives reward of shape \(\): give one for each of 2 copies",
        "final": "info has no 'final_obs'",
        "resets": "resets more copies than mask says; give a vector environment whose autoresets are of the next step",
    }.items(),
)
def test_what_a_host_gives_is_looked_at(how, message):
    def play(how):
        env = Gymnasium(lambda copies: Wrong(how))
        play = jax.vmap(env.begin)(SEEDS[:2])
        for _ in range(2):
            play, _ = jax.jit(jax.vmap(env.act))(play, jnp.ones(2, int))
        jax.block_until_ready(play)

    play("")
    with pytest.raises(InputError, match=message), told():
        play(how)


class Needs(gymnasium.Env):
    def __init__(self, what):
        raise what


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "ALE/Pong-v5": "needs the package ale-py, which is missing: pip install ale-py",
        "engram/TMase-v0": r"does not know engram/TMase-v0: .*Did you mean: `TMaze`.*Give a name of",
        "CartPole-v9": "does not know CartPole-v9",
        "Needs-v0": r"Needs-v0: pip install gymnasium\[parts\]",
    }.items(),
)
def test_what_cannot_be_made_is_told_why(name, message):
    gymnasium.register("Needs-v0", lambda: Needs(gymnasium.error.DependencyNotInstalled("pip install gymnasium[parts]")))
    try:
        with pytest.raises(InputError, match=message):
            Gymnasium(name)
    finally:
        del gymnasium.registry["Needs-v0"]


class Params(NamedTuple):
    top: int = 3
    max_steps_in_episode: int = 4


class Place(NamedTuple):
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
    """A ladder in the form of gymnax, whose top ends an episode; before 1.0, the time ends it by the same word."""

    default_params = Params()

    def __init__(self, splits):
        self.splits = splits

    def reset_env(self, key, params):
        return jnp.zeros(2, np.float32), Place(0, 0)

    def step_env(self, key, state, action, params):
        state = Place(state.height + action, state.time + 1)
        ended = state.height >= params.top
        if not self.splits:
            ended = ended | (state.time >= params.max_steps_in_episode)
        seen = jnp.stack([state.height, state.time])
        return seen, state, -0.5, ended, {}

    def step(self, key, state, action, params):
        *given, ended, info = self.step_env(key, state, action, params)
        return (*given, ended, ended, info) if self.splits else (*given, ended, info)

    def observation_space(self, params):
        return Box(0.0, 9.0)

    def action_space(self, params):
        return Choices(2)


@pytest.mark.parametrize("splits", [False, True], ids=["before 1.0", "1.0"])
def test_gymnax(splits):
    env = Gymnax(Stairs(splits))
    with jax.enable_x64(False):
        check(env, steps=50)

    @jax.jit
    def ends(actions):
        _, (feedback, over) = jax.lax.scan(
            lambda play, action: ((after := env.act(play, action))[0], (after[1], play.over)),
            env.begin(jax.random.key(0)),
            actions,
        )
        return feedback.terminated, feedback.truncated, over

    climbs = ends(jnp.array([1, 1, 1, 0, 1, 0, 0, 0]))
    assert [list(map(int, row)) for row in climbs] == [
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0, 0, 0, 0],
    ]
    at_once = ends(jnp.array([0, 1, 1, 1]))
    assert (bool(at_once[0][3]), bool(at_once[1][3])) == ((True, False) if splits else (False, True))


def test_control_what_is_not_of_gymnax():
    with pytest.raises(InputError, match=r"Gymnax\(env\): int has no reset_env; give an environment of gymnax"):
        Gymnax(3)
    stairs = Stairs(True)
    stairs.action_space = lambda params: "left or right"
    with pytest.raises(InputError, match="'left or right' is no space that Gymnasium has too"):
        Gymnax(stairs)
