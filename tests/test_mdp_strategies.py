"""Strategies for tabular MDPs: their beliefs, their plans, and their limits."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from farback import InputError
from farback.envs import MDP, Bandit, Ladder, TabularMDP
from farback.ops.random import log_gamma, words
from farback.strategies import (
    BEB,
    OPSRL,
    UCRL2,
    EpsilonGreedy,
    Greedy,
    Oracle,
    Random,
    WithPrior,
    World,
    plan,
    score,
)
from farback.strategies.base import AbstractStrategy
from farback.strategies.policy import play, trials
from farback.strategies.ucrl2 import optimistic

pytestmark = pytest.mark.slow

ENV = TabularMDP(3, 2, 4)
FIRST = jnp.array(0)


class Sampling(AbstractStrategy):
    """Posterior sampling."""

    def values(self, belief, episode, key):
        return belief.drawn(jax.random.split(key, 1)[0])


def world(states, actions, seed=0):
    key, other = jax.random.split(jax.random.key(seed))
    transitions = jax.random.dirichlet(key, jnp.ones(states), (states, actions))
    return MDP(transitions, jax.random.normal(other, (states, actions)))


@eqx.filter_jit
def learned(known, step):
    return known.update(*step)


def learn(known, *step):
    return learned(known, tuple(map(jnp.asarray, step)))


@functools.cache
def belief(env=ENV, steps=60, seed=0):
    """The belief after random steps, and these steps."""
    chance = np.random.default_rng(seed)
    seen = [
        (*chance.integers((env.states, env.actions, env.states)), chance.normal(), chance.random() < 0.2)
        for _ in range(steps)
    ]
    known = World.from_env(env)
    for place, action, following, reward, ended in seen:
        known = learn(known, place, action, reward, following, ended)
    return known, seen


# Planning


def worth(mdp, policy):
    """The expected return of a policy from each state."""
    values = np.zeros(len(mdp.rewards))
    states = np.arange(len(values))
    for actions in policy[::-1]:
        values = mdp.rewards[states, actions] + np.asarray(mdp.transitions)[states, actions] @ values
    return values


@pytest.mark.parametrize(("states", "actions", "horizon"), [(2, 2, 3), (3, 2, 2), (2, 3, 2), (3, 2, 1)])
def test_plan_is_the_best_of_all_policies(states, actions, horizon):
    mdp = jax.tree.map(np.asarray, world(states, actions))
    tables = itertools.product(range(actions), repeat=states * horizon)
    best = np.max([worth(mdp, np.reshape(table, (horizon, states))) for table in tables], 0)
    values = plan(MDP(*map(jnp.asarray, mdp)), horizon)
    np.testing.assert_allclose(values[0].max(-1), best, atol=1e-12)
    chosen = np.asarray(values.argmax(-1))
    np.testing.assert_allclose(worth(mdp, chosen), best, atol=1e-12)
    if horizon > 1:
        always = [worth(mdp, np.tile(row, (horizon, 1))) for row in itertools.product(range(actions), repeat=states)]
        assert (np.max(always, 0) < best - 1e-3).any() or np.allclose(chosen, chosen[0])


def test_plan_by_hand():
    mdp = MDP(jnp.array([[[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]]), jnp.array([[0.0, 1.0], [4.0, 0.0]]))
    np.testing.assert_allclose(plan(mdp, 2), [[[4, 2], [6.5, 4]], [[0, 1], [4, 0]]])


@pytest.mark.parametrize(
    ("change", "horizon", "message"),
    [
        (lambda mdp: mdp._replace(transitions=mdp.transitions * 0.9), 2, r"transitions\[0, 0\] is no distribution"),
        (lambda mdp: mdp._replace(transitions=mdp.transitions.at[1, 0].set(jnp.array([-1.0, 1, 1]))), 2, r"\[1, 0\]"),
        (lambda mdp: mdp._replace(transitions=mdp.transitions.at[2, 1, 0].set(jnp.nan)), 2, "divide each row"),
        (lambda mdp: mdp._replace(transitions=mdp.transitions[:, :, :2]), 2, "give .states, actions, states."),
        (lambda mdp: mdp._replace(rewards=mdp.rewards[0]), 2, "shape"),
        (lambda mdp: mdp, 0, "horizon >= 1"),
    ],
)
def test_plan_refuses_what_is_no_mdp(change, horizon, message):
    with pytest.raises(InputError, match=message):
        plan(change(world(3, 2)), horizon)


# Beliefs


def test_world_update_by_hand():
    known = World.from_env(TabularMDP(2, 2, 3, mean=1.0, spread=1.0, noise=0.5))
    for place, action, reward, following, ended in [(0, 1, 2.0, 1, False), (0, 1, 3.0, 1, False), (1, 0, -1.0, 0, True)]:
        known = learn(known, place, action, reward, following, ended)
    np.testing.assert_allclose(known.counts, [[[1, 1], [1, 3]], [[1, 1], [1, 1]]])
    np.testing.assert_allclose(known.means, [[1, 21 / 9], [-0.6, 1]])
    np.testing.assert_allclose(known.precision, [[1, 9], [5, 1]])
    np.testing.assert_allclose(known.mean().transitions[0, 1], [0.25, 0.75])


def test_world_update_is_bayes_rule():
    env = TabularMDP(3, 2, 4, concentration=0.7, mean=-1.0, spread=2.0, noise=0.5)
    known, seen = belief(env)
    for place, action in itertools.product(range(3), range(2)):
        rewards = [step[3] for step in seen if step[:2] == (place, action)]
        followed = [step[2] for step in seen if step[:2] == (place, action) and not step[4]]
        precision = 1 / 4 + len(rewards) / 0.25
        np.testing.assert_allclose(known.precision[place, action], precision)
        np.testing.assert_allclose(known.means[place, action], (-1 / 4 + sum(rewards) / 0.25) / precision)
        np.testing.assert_allclose(known.counts[place, action], 0.7 + np.bincount(followed, minlength=3))


def test_world_samples_have_the_moments_of_the_posterior():
    known, _ = belief()
    draws = jax.jit(jax.vmap(known.sample))(jax.random.split(jax.random.key(1), 20_000))
    total = known.counts.sum(-1, keepdims=True)
    share = known.counts / total
    close(draws.transitions, share, share * (1 - share) / (total + 1))
    close(draws.rewards, known.means, 1 / known.precision)
    np.testing.assert_allclose(draws.transitions.sum(-1), 1)


def close(draws, mean, variance):
    """Checks means within five standard errors, and variances within a tenth."""
    assert (abs(draws.mean(0) - mean) < 5 * jnp.sqrt(variance / len(draws))).all()
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.1)


ALPHAS = jnp.array([0.3, 1.0, 2.0, 7.5, 100.0])


def distance(logs):
    """The Kolmogorov distance from Gamma(α), times √n: above 2 with probability 1 / 1,500."""
    n = len(logs)
    below = jnp.sort(jax.scipy.special.gammainc(ALPHAS, jnp.exp(logs)), axis=0)
    return np.sqrt(n) * np.asarray(abs(below - (np.arange(n)[:, None] + 0.5) / n).max(0))


def test_log_gamma_draws_gammas():
    keys = jax.random.split(jax.random.key(2), 40_000)
    logs = jax.jit(jax.vmap(lambda key: log_gamma(key, ALPHAS)))(keys)
    assert (distance(logs) < 2).all()
    few = jax.jit(jax.vmap(lambda key: log_gamma(key, jnp.full(3, 1e-4))))(keys)
    close(few, jnp.full(3, -1e4), jnp.full(3, 1e8))
    assert abs(np.corrcoef(logs, rowvar=False) - np.eye(5)).max() < 0.03


def test_log_gamma_does_not_depend_on_the_batch():
    keys = jax.random.split(jax.random.key(4), 500)
    together = jax.vmap(lambda key: log_gamma(key, ALPHAS))(keys)
    np.testing.assert_array_equal(together[::100], jnp.stack([log_gamma(key, ALPHAS) for key in keys[::100]]))


def test_control_gamma_proposals_are_no_gammas():
    d = ALPHAS - 1 / 3
    x = jax.random.normal(jax.random.key(2), (40_000, 5))
    proposals = jnp.log(d) + 3 * jnp.log(jnp.maximum(1 + x / jnp.sqrt(9 * d), 1e-9))
    assert distance(proposals)[1] > 2


def test_words_equal_those_of_jax():
    key = jax.random.key(3)
    numbers = jnp.concatenate([jnp.arange(9, dtype=jnp.uint32), jnp.zeros(9, jnp.uint32)])
    np.testing.assert_array_equal(jnp.concatenate(words(key, 9)), threefry_2x32(jax.random.key_data(key), numbers))


# Optimism


def test_ucrl2_optimistic_transition_is_the_best_of_its_ball():
    """P and slack / 2 are multiples of 1 / 30, so the optimum is on a grid."""
    n, chance = 30, np.random.default_rng(0)
    grid = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    for _ in range(100):
        centre, values = grid[chance.integers(len(grid))], chance.normal(size=3)
        slack = 2 * chance.integers(n + 1) / n
        inside = grid[abs(grid - centre).sum(1) < slack + 1e-9]
        found = jax.jit(optimistic)(jnp.tile(centre, (3, 1, 1)), jnp.array(values), jnp.full((3, 1), slack))[1, 0]
        np.testing.assert_allclose(found.sum(), 1)
        assert (found >= 0).all()
        assert abs(found - centre).sum() < slack + 1e-9
        np.testing.assert_allclose(found @ values, (inside @ values).max(), atol=1e-12)


def test_ucrl2_values_exceed_those_of_the_posterior_mean():
    known, _ = belief()
    before = known.expected()
    for scale in (0.1, 0.3, 1.0):
        values = UCRL2(scale).values(known, FIRST, jax.random.key(0))
        assert (values > before).all()
        before = values


def test_ucrl2_faithful_equals_the_code_behind_the_tables():
    known, _ = belief()
    values, faithful = (UCRL2(0.2, faithful=odd).values(known, FIRST, jax.random.key(0)) for odd in (False, True))
    np.testing.assert_allclose(faithful[-2:], by_hand(known, 0.2)[-2:])
    np.testing.assert_allclose(faithful, by_hand(known, 0.2))
    assert abs(values[0] - faithful[0]).max() > 0.1


def by_hand(known, scale):
    """The induction with loops, in which p accumulates over the steps."""
    transitions, rewards = map(np.array, known.mean())
    size = np.log(2 * rewards.size * 2 / 0.05)
    best, tables = np.zeros(len(rewards)), []
    for _ in range(known.horizon):
        order, table = np.argsort(best, kind="stable"), np.zeros(rewards.shape)
        for place, action in np.ndindex(rewards.shape):
            n, m = max(known.precision[place, action], 1), max(known.counts[place, action].sum(), 1)
            moved = scale * np.sqrt(4 * len(rewards) * size / m) / 2
            p = transitions[place, action]
            if p[order[-1]] + moved > 1:
                p = np.eye(len(rewards))[order[-1]]
            else:
                p[order[-1]] += moved
                for worst in order:
                    p[worst] = max(0, p[worst] - max(p.sum() - 1, 0))
            table[place, action] = rewards[place, action] + scale * np.sqrt(4 * size / n) + p @ best
        best = table.max(-1)
        tables.insert(0, table)
    return np.array(tables)


def test_opsrl_grows_with_samples_and_equals_posterior_sampling_for_one():
    known, _ = belief()
    values = [eqx.filter_jit(OPSRL(samples).values)(known, FIRST, jax.random.key(4)) for samples in (1, 2, 5)]
    np.testing.assert_allclose(values[0], Sampling().values(known, FIRST, jax.random.key(4)))
    assert all((more >= less - 1e-9).all() and (more > less + 1e-9).any() for less, more in itertools.pairwise(values))


# Limits


def table(strategy, env=ENV):
    """The values of a strategy after some steps."""
    known = strategy.ready(env, 9).prior(env, None)
    for step in belief()[1]:
        known = learn(known, *step[:2], step[3], step[2], step[4])
    return np.asarray(eqx.filter_jit(strategy.values)(known, FIRST, jax.random.key(5)))


NONE = TabularMDP(3, 2, 4, concentration=1e-4, mean=0.0, spread=100.0)


@pytest.mark.parametrize(
    ("strategy", "limit"),
    [
        (BEB(0.0, bonus=0.0), Greedy()),
        (EpsilonGreedy(0.0), Greedy()),
        (EpsilonGreedy(1.0), Random()),
        (OPSRL(1), Sampling()),
        (WithPrior(OPSRL(2), ENV), OPSRL(2)),
        (WithPrior(EpsilonGreedy(0.0), NONE), WithPrior(Greedy(), NONE)),
    ],
    ids=str,
)
def test_strategies_equal_others_in_their_limits(strategy, limit):
    np.testing.assert_allclose(table(strategy), table(limit), rtol=1e-12)


@pytest.mark.parametrize("faithful", [False, True])
def test_ucrl2_without_optimism_is_greedy(faithful):
    still = UCRL2(0.0, faithful=faithful)
    np.testing.assert_allclose(table(still), table(Greedy()), rtol=1e-12)
    np.testing.assert_allclose(table(WithPrior(still, NONE)), table(WithPrior(Greedy(), NONE)), rtol=1e-12)


@pytest.mark.parametrize(
    ("strategy", "other"),
    [
        (BEB(0.0), Greedy()),
        (BEB(1.0, bonus=0.0), Greedy()),
        (UCRL2(0.3), Greedy()),
        (OPSRL(2), Sampling()),
        (WithPrior(OPSRL(2), NONE), OPSRL(2)),
    ],
    ids=str,
)
def test_control_strategies_differ_outside_of_their_limits(strategy, other):
    assert abs(table(strategy) - table(other)).max() > 0.01


def test_beb_by_hand():
    known = World.from_env(TabularMDP(2, 1, 2, mean=0.5, noise=0.5))
    values = BEB(0.25, bonus=1.0).values(known, FIRST, jax.random.key(0))
    last = 0.5 + 1 / (1 / 4 + 1)
    np.testing.assert_allclose(values[:, :, 0], [2 * [2 * last + 2 * 2**3 * 0.25 / 3], 2 * [last]])


# Play


@functools.cache
def returns(strategy, env=ENV, seed=5, instances=1000, episodes=12):
    return np.asarray(score(env, strategy, episodes, instances, key=jax.random.key(seed)))


STRATEGIES = [Random(), Greedy(), OPSRL(3), UCRL2(faithful=True), BEB()]
WRONG = WithPrior(Greedy(), TabularMDP(3, 2, 4, mean=-5.0))


def z(differences):
    """The number of standard errors between a mean and zero."""
    return differences.mean() / (differences.std() / np.sqrt(len(differences)))


def test_oracle_gets_the_planned_return_and_no_strategy_more():
    known = returns(Oracle()).mean(1)
    keys = jax.random.split(jax.random.key(5), len(known))
    worlds, _ = jax.jit(lambda keys: play(trials(ENV, 12), Oracle().ready(ENV, 12), keys))(keys)
    missed = known - np.asarray(jax.vmap(lambda world: plan(ENV.mdp(world), 4)[0, 0].max())(worlds))
    assert abs(z(missed)) < 4
    assert missed.std() < 0.8 * known.std()
    for strategy in [*STRATEGIES, WRONG]:
        assert z(known - returns(strategy).mean(1)) > 4, strategy


@pytest.mark.parametrize(
    ("env", "mean"), [(Bandit(4), 4 / 5), (TabularMDP(1, 2, 1), 1 + 1 / np.sqrt(np.pi))], ids=["arms", "world"]
)
def test_oracle_has_the_known_return(env, mean):
    assert abs(z(returns(Oracle(), env).mean(1) - mean)) < 4
    assert z(returns(Oracle(), env).mean(1) - env.memoryless) > 10


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_later_episodes_of_strategies_are_better(strategy):
    """Those of a random strategy are not."""
    gain = z(returns(strategy)[:, 8:].mean(1) - returns(strategy)[:, :2].mean(1))
    assert abs(gain) < 4 if isinstance(strategy, Random) else gain > 5


def test_with_a_wrong_prior_greedy_is_worse():
    """With a prior far below the true rewards, the first action seems best for ever."""
    assert z((returns(Greedy()) - returns(WRONG)).mean(1)) > 5


def test_strategies_play_in_the_same_worlds():
    one, same, other = returns(OPSRL(3)), returns(BEB()), returns(Oracle(), seed=6)
    correlation = [np.corrcoef(one.sum(1), against.sum(1))[0, 1] for against in (same, returns(Oracle()), other)]
    assert min(correlation[:2]) > 0.5 > 0.2 > abs(correlation[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OPSRL(0), "samples >= 1"),
        (lambda: UCRL2(-1.0), "give scale >= 0"),
        (lambda: UCRL2(delta=0.0), "between 0 and 1"),
        (lambda: BEB(-1.0), "0 or more"),
        (lambda: BEB(bonus=-1.0), "0 or more"),
        (lambda: returns(UCRL2(), Bandit(2)), "UCRL2 plays TabularMDP, not Bandit"),
        (lambda: returns(BEB(), Bandit(2)), "BEB plays TabularMDP, not Bandit"),
        (lambda: returns(Oracle(), Ladder()), "There is no prior of Ladder"),
        (lambda: returns(WithPrior(Greedy(), Bandit(2))), "same kind and size"),
        (lambda: returns(WithPrior(Greedy(), TabularMDP(3, 2, 5))), "same kind and size"),
        (lambda: returns(WithPrior(Greedy(), TabularMDP(4, 2, 4))), "same kind and size"),
        (lambda: returns(Greedy(), TabularMDP(3, 2, 4, noise=0.0)), "noise > 0"),
    ],
)
def test_strategies_refuse_what_they_cannot_play(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_world_with_known_rewards_does_not_change_them():
    sure = World.from_env(TabularMDP(3, 2, 4, spread=0.0)).update(*map(jnp.asarray, (0, 0, 9.0, 1, False)))
    np.testing.assert_allclose(sure.means, 1)
    np.testing.assert_allclose(sure.sample(jax.random.key(0)).rewards, 1)
