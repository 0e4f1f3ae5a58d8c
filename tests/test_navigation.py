"""RL² in mazes: the episodes of a trial are counted as they were played."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.acting import AbstractPolicy, reset_envs, rollout
from farback.envs import Maze
from farback.envs.raycast import players
from farback.papers.rl2.navigation import EPISODE, LENGTH, SHORTER, SUCCESS, TESTED, episodes_of, rows, shown, tried

pytestmark = pytest.mark.slow


class Script(AbstractPolicy):
    """Takes the actions of a list, one after the other, from the start of a trial on."""

    actions: jax.Array

    def initial(self):
        return jnp.zeros((), int)

    def __call__(self, state, observation, first, key):
        state = jnp.where(first, 0, state)
        return state + 1, self.actions[state % len(self.actions)], ()


def way(maze, key):
    """The actions of a shortest way of the first trial that `tried` plays."""
    reset_key, _ = jax.random.split(key)
    state = reset_envs(shown(maze, TESTED), 1, reset_key).copies.state.state.state
    state, found, done = jax.tree.map(lambda leaf: leaf[0], state), [], False
    while not done:
        _, action = players.shortest_way.act((), state, key)
        state, (_, done, _) = maze.step(state, action, key)
        found.append(int(action))
    return found


def test_episodes_of_a_trial_are_those_of_its_script(key):
    """The script takes the shortest way each time, but turns on the spot first in the second episode."""
    maze = Maze(cells=3, horizon=40)
    shortest = way(maze, key)
    script = shortest + [players.LEFT] * 4 + 4 * shortest
    found = tried(maze, Script(jnp.array(script)), 1, key)
    assert found.lengths.tolist() == [[len(shortest), len(shortest) + 4, *[len(shortest)] * 3]]
    assert found.found.all()
    (first, second, *_) = rows(found, {"seed": 3, "step": 7})
    assert (first[EPISODE], first["seed"], first[LENGTH.name], first[SUCCESS.name]) == (1, 3, len(shortest), 1.0)
    assert second[SHORTER.name] == 0.0


def test_an_episode_without_the_target_lasts_until_the_horizon(key):
    maze = Maze(cells=3, horizon=6)
    found = tried(maze, Script(jnp.array([players.LEFT])), 4, key)
    assert (found.lengths == 6).all()
    assert not found.found.any()
    assert rows(found, {})[0][LENGTH.name] is None


def test_steps_after_the_first_trial_do_not_count(key):
    maze = Maze(cells=3, horizon=6)
    env, policy = shown(maze, TESTED), Script(jnp.array([players.LEFT]))
    start = (jnp.zeros(2, int), reset_envs(env, 2, key))
    steps = eqx.filter_jit(lambda start, length: rollout(env, policy, *start, key, length)[2])
    one, more = (episodes_of(steps(start, length)) for length in (30, 70))
    np.testing.assert_array_equal(one.lengths, more.lengths)
