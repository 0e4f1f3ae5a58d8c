"""Gymnasium's environments, stepped by the host from within compiled programs."""

import contextlib
import functools
import secrets
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import VectorEnv
from jax.experimental import io_callback
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from engram.envs.base import AbstractEnv, Feedback, Play, State
from engram.envs.copies import Copies, by_name
from engram.envs.spaces import names, parts, sample
from engram.together import together
from engram.types import InputError


class Seat(NamedTuple):
    """A copy of an environment that the host steps: among which copies it is, which of them, and what is seen of it."""

    world: Int[Array, "*copies"]
    place: Int[Array, "*copies"]
    observation: PyTree[Array]


class Gymnasium(AbstractEnv):
    """An environment of Gymnasium, which the host steps: as many copies at once as a program plays side by side.

    Compiled programs call the host in each step, once for all copies. What goes on there is no part of a state: copies that
    are not there any more, as when a run is resumed, begin new episodes, and those under way count as truncated.

    The last observation of an episode has a step of its own, as everywhere (see `Play`). Vector environments whose
    autoresets are of the next step show it by themselves. Of others, a copy takes that step with the rest, in an episode
    that nobody sees, and is then reset by `options={"reset_mask": ...}`: one reset more for each episode.

    It is played, as a whole, by `begin` and `act`. Environments made from another one, such as `Previous`, step and reset
    that one themselves, which the host cannot: use Gymnasium's own wrappers.

    **Arguments:**

    - `make`: a name that Gymnasium knows, of which copies are those of `gymnasium.make_vec`; or a function that gives so
      many copies, a vector environment.
    """

    host: "Host" = eqx.field(static=True)

    def __init__(self, make: str | Callable[[int], VectorEnv[Any, Any, Any]]):
        self.host = Host(functools.partial(by_name, make) if isinstance(make, str) else make)

    @property
    def observation_space(self) -> Space[Any]:
        return self.host.observation_space

    @property
    def action_space(self) -> Space[Any]:
        return self.host.action_space

    def observe(self, state: Seat) -> Any:
        return state.observation

    def reset(self, key: PRNGKeyArray) -> NoReturn:
        raise InputError(AS_A_WHOLE)

    def step(self, state: State, action: Any, key: PRNGKeyArray) -> NoReturn:
        raise InputError(AS_A_WHOLE)

    def begin(self, key: PRNGKeyArray) -> Play:
        seat = _of_all(self._seats)(jax.random.key_data(key))
        return Play(seat, jnp.array(True), jnp.array(False), key)

    def act(self, play: Play, action: Any) -> tuple[Play, Feedback]:
        world, place, _ = play.state
        observation, first, feedback = _of_all(self._step)(world, place, play.over, action)
        play = Play(Seat(world, place, observation), first, feedback.terminated | feedback.truncated, play.key)
        return play, feedback

    def _seats(self, keys):
        copies = len(keys)
        number = _one_each_of(copies, int)
        return io_callback(self.host.seats, Seat(number, number, self._seen(copies)), keys)

    def _step(self, world, place, over, action):
        copies = len(world)
        reward, flag = _one_each_of(copies, float), _one_each_of(copies, bool)
        given = (self._seen(copies), flag, Feedback(reward, flag, flag))
        return io_callback(self.host.step, given, world, place, over, action)

    def _seen(self, copies):
        like = jax.eval_shape(functools.partial(sample, self.observation_space), jax.random.key(0))
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((copies, *leaf.shape), leaf.dtype), like)


AS_A_WHOLE = (
    "Gymnasium(...) is played by the host, and as a whole: it cannot be reset or stepped by itself, and so not be put into "
    "another environment; use a wrapper of Gymnasium's own."
)


def _one_each_of(copies, kind) -> Any:
    return jax.ShapeDtypeStruct((copies,), jax.dtypes.canonicalize_dtype(kind))


def _of_all(function):
    """A function of one copy, from one of all copies."""
    of_all = together(function)
    return lambda *one: jax.tree.map(lambda leaf: leaf[0], of_all(*jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], one)))


REFUSED: list[InputError] = []
"""What was wrong with what a host gave."""


@contextlib.contextmanager
def told() -> Generator[None]:
    """Raises what was wrong with what a host gave, in place of the error that JAX makes of it."""
    REFUSED.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        if REFUSED:
            raise REFUSED.pop() from None
        raise


def _noted(method):
    """A method whose refusals `told` knows."""

    @functools.wraps(method)
    def noted(*arguments):
        try:
            return method(*arguments)
        except InputError as error:
            REFUSED.append(error)
            raise

    return noted


class Host:
    """Vector environments, made when they are asked for, and stepped.

    **Arguments:**

    - `make`: gives so many copies.
    """

    def __init__(self, make: Callable[[int], VectorEnv[Any, Any, Any]]):
        self.make, self.worlds, self.anew = make, {}, {}
        venv = self._made(1).venv
        self.observation_space, self.action_space = venv.single_observation_space, venv.single_action_space
        venv.close()
        for space in (self.observation_space, self.action_space):
            parts(space, names(space))

    @_noted
    def seats(self, keys: Any) -> Seat:
        """New copies, one for each key; the first is the seed of all."""
        world, copies = secrets.randbits(30), len(keys)
        self.worlds[world] = self._made(copies)
        seen = self.worlds[world].start(int(np.asarray(keys)[0, -1]) % 2**31)
        place: Any = np.arange(copies)
        return _as_usual(Seat(np.full_like(place, world), place, seen))

    @_noted
    def step(self, world: Any, place: Any, over: Any, action: Any) -> tuple[Any, Any, Feedback]:
        """Steps copies, of which some may be of one world, and some of another."""
        world, place, over, action = jax.tree.map(np.asarray, (world, place, over, action))
        found = []
        for one in dict.fromkeys(world.tolist()):
            rows = np.flatnonzero(world == one)
            rows = rows[np.argsort(place[rows])]
            of_rows = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (over, action))
            found.append((rows, self._on(one, *of_rows) if one in self.worlds else self._again(one, of_rows[0])))
        rows = np.argsort(np.concatenate([rows for rows, _ in found]))
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[rows], *(what for _, what in found))
        return _as_usual(joined)

    def _on(self, world, over, action):
        if world in self.anew:
            return self.anew.pop(world), over, _nothing(over)
        seen, feedback = self.worlds[world].play(over, action)
        return seen, over, feedback

    def _again(self, world, over):
        """New copies in the place of those that are not there any more, whose episodes are broken off."""
        self.worlds[world] = self._made(len(over))
        self.anew[world] = self.worlds[world].start(world)
        return self.anew[world], over, _nothing(over)._replace(truncated=~over)

    def _made(self, copies):
        return Copies(self.make(copies))


def _nothing(over):
    """What comes of a step in which nothing is done."""
    nothing: Any = np.zeros(len(over))
    return Feedback(nothing, nothing > 0, nothing > 0)


def _as_usual(found):
    """Numbers, choices and flags, with the usual number of bits."""

    def one(leaf):
        leaf = np.asarray(leaf)
        kind = bool if leaf.dtype == bool else float if np.issubdtype(leaf.dtype, np.floating) else int
        return np.asarray(leaf, jax.dtypes.canonicalize_dtype(kind))

    return jax.tree.map(one, found)
