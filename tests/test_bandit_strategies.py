"""Strategies for bandits: they equal their equations, and none is better than the Bayes-optimal one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import xlogy

from farback import InputError
from farback.envs import Bandit, GaussianBandit, TabularMDP
from farback.strategies import (
    KLUCB,
    UCB1,
    BayesOptimal,
    Gittins,
    Greedy,
    InformationDirected,
    LikeliestDraw,
    OptimisticThompson,
    Random,
    Thompson,
    score,
)
from farback.strategies.arms import BernoulliArms, GaussianArms
from farback.strategies.bayes import two_arms
from farback.strategies.directed import cheapest, regret_and_information
from farback.strategies.gittins import gittins
from farback.strategies.policy import play, trials

pytestmark = pytest.mark.slow

ANY = BernoulliArms(jnp.array([1.0, 20.0, 3.0]), jnp.array([1.0, 25.0, 1.0]))
NOW = jnp.array(0)


@pytest.fixture
def _as_it_is_run():
    with jax.enable_x64(False):
        yield


def actions(env, strategy, episodes, key, instances=50):
    ready = strategy.ready(env, episodes)
    keys = jax.random.split(key, instances)
    return np.asarray(jax.jit(lambda keys: play(trials(env, episodes), ready, keys)[1].action)(keys))


def totals(env, strategy, episodes=10, instances=4000):
    return np.asarray(score(env, strategy, episodes, instances, key=jax.random.key(1))).sum(-1)


def average(samples):
    return samples.mean(), samples.std() / np.sqrt(len(samples))


class TestGittins:
    # Gittins, Glazebrook & Weber, 2011: four digits.
    @pytest.mark.parametrize(
        ("gamma", "published"),
        [
            (0.9, {(0, 0): 0.7029, (1, 1): 0.6346, (2, 2): 0.6010}),
            (0.99, {(0, 0): 0.8699}),
        ],
    )
    def test_gittins_indices_are_the_published_ones(self, gamma, published):
        table = gittins(1.0, 1.0, gamma, 6)
        for state, index in published.items():
            assert abs(table[state] - index) < 1e-4 + 5e-5, state

    def test_control_gittins_indices_depend_on_the_discount(self):
        assert abs(gittins(1.0, 1.0, 0.91, 1)[0, 0] - 0.7029) > 5e-3

    def test_gittins_prior_counts_as_pulls(self):
        np.testing.assert_allclose(gittins(3.0, 2.0, 0.9, 4)[0, 0], gittins(1.0, 1.0, 0.9, 4)[2, 1], atol=1e-4)

    @pytest.mark.parametrize(("wins", "losses", "gamma", "pulls"), [(1.0, 1.0, 0.95, 60), (0.3, 4.0, 0.9, 40)])
    def test_gittins_has_the_stated_accuracy(self, wins, losses, gamma, pulls):
        table = gittins(wins, losses, gamma, pulls)
        finer = gittins(wins, losses, gamma, pulls, grid=6000, beyond=int(8 / (1 - gamma)))
        assert np.nanmax(abs(table - finer)) < 1e-4

    def test_gittins_index_grows_with_wins_and_exceeds_the_mean(self):
        table = gittins(1.0, 1.0, 0.95, 40)
        won, lost = np.indices(table.shape)
        known = won + lost < 40
        assert (np.isfinite(table) == known).all()
        assert (table >= (1 + won) / (2 + won + lost))[known].all()
        assert (np.diff(table, axis=0) > 0)[known[1:]].all()
        assert (np.diff(table, axis=1) < 0)[known[:, 1:]].all()
        new = [gittins(1.0, 1.0, gamma, 1)[0, 0] for gamma in (0.3, 0.6, 0.9, 0.99)]
        assert new == sorted(new)

    def test_gittins_tends_to_greedy(self):
        def beyond_the_mean(gamma):
            table = gittins(2.0, 1.0, gamma, 20)
            won, lost = np.indices(table.shape)
            return np.nanmax(table - (2 + won) / (3 + won + lost))

        assert beyond_the_mean(1e-4) < 1e-4
        assert beyond_the_mean(0.9) > 0.05

    def test_gittins_is_optimal_for_the_discounted_reward(self):
        """By dynamic programming over two arms, with a horizon beyond which the discount is negligible."""
        gamma, n = 0.5, 18
        table = gittins(1.0, 1.0, gamma, n)
        best, followed = np.zeros((n + 1,) * 3), np.zeros((n + 1,) * 3)
        for pulled in reversed(range(n)):
            won, lost, other = np.indices((pulled + 1,) * 3)
            other_lost = np.maximum(0, pulled - won - lost - other)
            possible = won + lost + other <= pulled
            p, q = (1 + won) / (2 + won + lost), (1 + other) / (2 + other + other_lost)

            def choices(after, p=p, q=q):
                first = p * (1 + gamma * after[1:, :-1, :-1]) + (1 - p) * gamma * after[:-1, 1:, :-1]
                return first, q * (1 + gamma * after[:-1, :-1, 1:]) + (1 - q) * gamma * after[:-1, :-1, :-1]

            counts = [np.where(possible, count, 0) for count in (won, lost, other, other_lost)]
            best = np.where(possible, np.maximum(*choices(best)), 0)
            first = table[counts[0], counts[1]] >= table[counts[2], counts[3]]
            followed = np.where(possible, np.where(first, *choices(followed)), 0)
        assert best[0, 0, 0] - 1e-4 < followed[0, 0, 0] <= best[0, 0, 0]


class TestBounds:
    def test_ucb1_without_bonus_is_greedy(self, key):
        for env in (Bandit(4), GaussianBandit(4)):
            np.testing.assert_array_equal(actions(env, UCB1(0.0), 30, key), actions(env, Greedy(), 30, key))
            assert (actions(env, UCB1(0.2), 30, key) != actions(env, Greedy(), 30, key)).any()

    def test_ucb1_equals_its_equation(self, key):
        bounds = UCB1(0.5).values(ANY, NOW, key)[0, 0]
        expected = [w / n + 0.5 * np.sqrt(np.log(51) / n) for w, n in ((1, 2), (20, 45), (3, 4))]
        np.testing.assert_allclose(bounds, expected, rtol=1e-12)

    @pytest.mark.parametrize("level", [1e-6, 0.01, 0.5, 5.0])
    def test_kl_ucb_bounds_solve_their_equation(self, level):
        mean, bound = ANY.mean(), ANY.upper(jnp.full(3, level))
        found = xlogy(mean, mean / bound) + xlogy(1 - mean, (1 - mean) / (1 - bound))
        np.testing.assert_allclose(found, level, rtol=1e-6, atol=1e-9)
        assert (bound > mean).all()
        with jax.enable_x64(False):
            single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), ANY)
            np.testing.assert_allclose(
                single.upper(jnp.full(3, level, jnp.float32)), bound, atol=2e-5 if level > 1e-3 else 1e-3
            )
        arms = GaussianArms(jnp.array([1.0, -2.0]), jnp.array([1.0, 3.0]), 4.0)
        np.testing.assert_allclose(4.0 * (arms.upper(jnp.full(2, level)) - arms.mean()) ** 2 / 2, level)

    def test_kl_ucb_level_is_that_of_the_counts(self, key):
        np.testing.assert_allclose(KLUCB().values(ANY, NOW, key)[0, 0], ANY.upper(jnp.log(51.0) / ANY.pulls()))
        np.testing.assert_allclose(GaussianArms.from_env(GaussianBandit(2, spread=0.5, noise=2.0)).pulls(), 16.0)


class TestThompson:
    def test_optimistic_thompson_values_are_at_least_the_mean(self, key):
        keys = jax.random.split(key, 200)
        drawn = jax.vmap(lambda key: Thompson().values(ANY, NOW, key))(keys)
        hoped = jax.vmap(lambda key: OptimisticThompson().values(ANY, NOW, key))(keys)
        assert (hoped >= ANY.expected()).all()
        assert (hoped >= drawn).all()
        assert (drawn < ANY.expected()).any()

    def test_likeliest_draw_of_one_equals_thompson(self, key):
        arms = GaussianArms(jnp.array([1.0, -2.0]), jnp.array([1.0, 9.0]), 1.0)
        drawn = LikeliestDraw(1).values(arms, NOW, key)
        np.testing.assert_allclose(drawn, Thompson().values(arms, NOW, jax.random.split(key, 1)[0]), rtol=1e-12)

    def test_likeliest_draw_of_many_is_near_the_mode(self, key):
        arms = BernoulliArms(jnp.array([5.0, 9.0]), jnp.array([7.0, 3.0]))
        np.testing.assert_allclose(LikeliestDraw(2000).values(arms, NOW, key)[0, 0], [0.4, 0.8], atol=0.06)
        gaussian = GaussianArms(jnp.array([1.0, -2.0]), jnp.array([1.0, 9.0]), 1.0)
        np.testing.assert_allclose(LikeliestDraw(2000).values(gaussian, NOW, key)[0, 0], [1.0, -2.0], atol=0.2)

    def test_posterior_densities_integrate_to_one(self):
        grid = (jnp.arange(2000.0) + 0.5) / 2000
        one = BernoulliArms(jnp.array([3.0]), jnp.array([5.0]))
        np.testing.assert_allclose(jnp.exp(jax.vmap(one.log_density)(grid[:, None])).mean(), 1, rtol=1e-5)
        one = GaussianArms(jnp.array([0.3]), jnp.array([4.0]), 1.0)
        np.testing.assert_allclose(20 * jnp.exp(jax.vmap(one.log_density)(20 * grid[:, None] - 10)).mean(), 1, rtol=1e-5)


class TestInformationDirected:
    def test_information_directed_regret_and_information_equal_those_of_draws(self, key):
        regret, information = regret_and_information(ANY, 128)
        worth = np.asarray(jax.vmap(ANY.sample)(jax.random.split(key, 100_000)))
        best = worth.argmax(-1)
        np.testing.assert_allclose(regret, (worth.max(-1, keepdims=True) - worth).mean(0), atol=3e-3)
        of_best = np.stack([worth[best == arm].mean(0) if (best == arm).any() else worth.mean(0) for arm in range(3)])
        chances = np.bincount(best, minlength=3) / len(best)
        np.testing.assert_allclose(information, chances @ (of_best - worth.mean(0)) ** 2, atol=1e-3)
        exact = regret_and_information(ANY, 4000)
        np.testing.assert_allclose(regret, exact[0], atol=1e-4)
        np.testing.assert_allclose(information, exact[1], rtol=0.01)

    def test_information_directed_by_hand(self):
        """E max = 2/3, so Δ = 1/6; E[θ_i | i is best] = 2/3 and 1/3 otherwise, so v = 1/36, and any choice costs 1."""
        regret, information = regret_and_information(BernoulliArms(jnp.ones(2), jnp.ones(2)), 1000)
        np.testing.assert_allclose(regret, 1 / 6, rtol=1e-5)
        np.testing.assert_allclose(information, 1 / 36, rtol=1e-5)

    def test_information_directed_choice_is_optimal(self, key):
        others = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 2000)

        for regret, information in np.asarray(jax.random.uniform(key, (20, 2, 4))):
            first, second, odds = cheapest(jnp.asarray(regret), jnp.asarray(information))
            found = float(odds) * np.eye(4)[first] + (1 - float(odds)) * np.eye(4)[second]
            ratio, *ratios = (np.stack((found, *others)) @ regret) ** 2 / (np.stack((found, *others)) @ information)
            assert ratio <= min(ratios) + 1e-12

    def test_information_directed_plays_with_its_probabilities(self, key):
        arms = BernoulliArms(jnp.array([30.0, 1.0, 1.0]), jnp.array([20.0, 1.0, 3.0]))
        first, second, odds = cheapest(*regret_and_information(arms, 128))
        played = jax.jit(jax.vmap(lambda key: InformationDirected().values(arms, NOW, key)[0, 0]))(
            jax.random.split(key, 4000)
        )
        assert 0.01 < odds < 0.99
        assert (played.sum(-1) == 1).all()
        np.testing.assert_allclose(played.mean(0)[jnp.array([first, second])], [odds, 1 - odds], atol=0.04)


class TestBest:
    """`BayesOptimal` has the best return of all strategies."""

    def test_bayes_optimal_value_by_hand(self):
        assert two_arms(Bandit(2), 1)[0] == 0.5
        np.testing.assert_allclose(two_arms(Bandit(2), 2)[0], 1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2)
        np.testing.assert_allclose(two_arms(Bandit(2, 2.0, 6.0), 1)[0], 1 / 4)

    @pytest.mark.usefixtures("_as_it_is_run")
    def test_bayes_optimal_gets_its_value_and_no_strategy_more(self):
        env = Bandit(2)
        value = two_arms(env, 10)[0]
        best = totals(env, BayesOptimal())
        mean, error = average(best)
        assert abs(mean - value) < 4 * error
        others = (Greedy(), Thompson(), OptimisticThompson(), LikeliestDraw(), UCB1(), KLUCB(0.1), Gittins(0.9))
        for other in (*others, InformationDirected(), KLUCB(1.0), UCB1(1.0)):
            less, error = average(best - totals(env, other))
            assert less > -4 * error, other
        less, error = average(best - totals(env, Random()))
        assert less > 0.9 > 20 * error

    @pytest.mark.usefixtures("_as_it_is_run")
    def test_bayes_optimal_gets_its_value_with_another_prior(self):
        env = Bandit(2, 1.0, 3.0)
        mean, error = average(totals(env, BayesOptimal(), 20))
        assert abs(mean - two_arms(env, 20)[0]) < 4 * error


@pytest.mark.usefixtures("_as_it_is_run")
def test_strategies_find_an_arm_that_always_pays():
    """Arms have probabilities near 0 or 1."""
    env = Bandit(3, 1e-3, 1e-3)
    for strategy in (Greedy(), UCB1(0.01), KLUCB(1e-6), Gittins(0.9)):
        paid = np.asarray(score(env, strategy, 8, 500, key=jax.random.key(3)))
        assert (np.diff(paid, axis=-1) >= 0).mean() > 0.99, strategy
        assert abs(paid[:, -1].mean() - 7 / 8) < 0.07, strategy


@pytest.mark.usefixtures("_as_it_is_run")
def test_strategies_beat_random_in_gaussian_arms():
    env = GaussianBandit(5)
    blind = totals(env, Random(), 30, 2000)
    for strategy in (UCB1(1.0), KLUCB(0.5), Thompson(), OptimisticThompson(), LikeliestDraw()):
        more, error = average(totals(env, strategy, 30, 2000) - blind)
        assert more > 15 > 15 * error, strategy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gittins(1.0), "0 < gamma < 1"),
        (lambda: Gittins(0.0), "0 < gamma < 1"),
        (lambda: UCB1(-0.1), r"UCB1\(c=-0.1\).*give c >= 0"),
        (lambda: KLUCB(float("nan")), r"KLUCB\(c=nan\).*give c >= 0"),
        (lambda: LikeliestDraw(0), "give samples >= 1"),
        (lambda: InformationDirected(1), "a grid has at least 2 points"),
        (lambda: BayesOptimal().ready(Bandit(3), 10), "two arms, not 3"),
        (lambda: BayesOptimal().ready(Bandit(2), 200), "at most 50 episodes, not 200.*6 GB"),
        (lambda: Gittins().ready(GaussianBandit(2), 10), "Gittins plays Bandit, not GaussianBandit"),
        (lambda: UCB1().ready(TabularMDP(), 10), "UCB1 plays Bandit and GaussianBandit, not TabularMDP"),
        (lambda: KLUCB().ready(TabularMDP(), 10), "KLUCB plays"),
        (lambda: LikeliestDraw().ready(TabularMDP(), 10), "LikeliestDraw plays"),
        (lambda: InformationDirected().ready(GaussianBandit(2), 10), "InformationDirected plays Bandit"),
        (lambda: Gittins().values(ANY, NOW, jax.random.key(0)), "ready.* returns"),
        (lambda: BayesOptimal().values(ANY, NOW, jax.random.key(0)), "ready.* returns"),
    ],
)
def test_strategies_refuse_what_they_cannot_play(make, message):
    with pytest.raises(InputError, match=message):
        make()
