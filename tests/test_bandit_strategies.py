"""Strategies for bandits: what they compute is so, and none is better than the best."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import xlogy

from engram import InputError
from engram.envs import Bandit, GaussianBandit, TabularMDP
from engram.strategies import (
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
from engram.strategies.arms import BernoulliArms, GaussianArms
from engram.strategies.bayes import two_arms
from engram.strategies.directed import cheapest, regret_and_information
from engram.strategies.gittins import gittins
from engram.strategies.trial import play

ANY = BernoulliArms(jnp.array([1.0, 20.0, 3.0]), jnp.array([1.0, 25.0, 1.0]))
NOW = jnp.array(0)


@pytest.fixture
def _as_it_is_run():
    with jax.enable_x64(False):
        yield


def actions(env, strategy, episodes, key, instances=50):
    ready = strategy.ready(env, episodes)
    return np.asarray(
        jax.jit(jax.vmap(lambda key: play(env, ready, episodes, key).action))(jax.random.split(key, instances))
    )


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
    def test_indices_are_those_that_were_published(self, gamma, published):
        table = gittins(1.0, 1.0, gamma, 6)
        for state, index in published.items():
            assert abs(table[state] - index) < 1e-4 + 5e-5, state

    def test_control_another_discount_has_other_indices(self):
        assert abs(gittins(1.0, 1.0, 0.91, 1)[0, 0] - 0.7029) > 5e-3

    def test_a_prior_is_as_good_as_pulls(self):
        np.testing.assert_allclose(gittins(3.0, 2.0, 0.9, 4)[0, 0], gittins(1.0, 1.0, 0.9, 4)[2, 1], atol=1e-4)

    @pytest.mark.parametrize(("wins", "losses", "gamma", "pulls"), [(1.0, 1.0, 0.95, 60), (0.3, 4.0, 0.9, 40)])
    def test_the_accuracy_is_what_is_stated(self, wins, losses, gamma, pulls):
        table = gittins(wins, losses, gamma, pulls)
        finer = gittins(wins, losses, gamma, pulls, grid=6000, beyond=int(8 / (1 - gamma)))
        assert np.nanmax(abs(table - finer)) < 1e-4

    def test_an_index_grows_with_wins_and_is_worth_more_than_the_mean(self):
        table = gittins(1.0, 1.0, 0.95, 40)
        won, lost = np.indices(table.shape)
        known = won + lost < 40
        assert (np.isfinite(table) == known).all()
        assert (table >= (1 + won) / (2 + won + lost))[known].all()
        assert (np.diff(table, axis=0) > 0)[known[1:]].all()
        assert (np.diff(table, axis=1) < 0)[known[:, 1:]].all()
        new = [gittins(1.0, 1.0, gamma, 1)[0, 0] for gamma in (0.3, 0.6, 0.9, 0.99)]
        assert new == sorted(new)

    def test_it_tends_to_greedy(self):
        def beyond_the_mean(gamma):
            table = gittins(2.0, 1.0, gamma, 20)
            won, lost = np.indices(table.shape)
            return np.nanmax(table - (2 + won) / (3 + won + lost))

        assert beyond_the_mean(1e-4) < 1e-4
        assert beyond_the_mean(0.9) > 0.05

    def test_it_is_optimal_for_the_discounted_reward(self):
        """Of two arms, with a horizon at which nothing is left: by dynamic programming over both."""
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
    def test_no_trust_in_luck_is_greedy(self, key):
        for env in (Bandit(4), GaussianBandit(4)):
            np.testing.assert_array_equal(actions(env, UCB1(0.0), 30, key), actions(env, Greedy(), 30, key))
            assert (actions(env, UCB1(0.2), 30, key) != actions(env, Greedy(), 30, key)).any()

    def test_ucb1_is_its_equation(self, key):
        bounds = UCB1(0.5).values(ANY, NOW, key)[0, 0]
        expected = [w / n + 0.5 * np.sqrt(np.log(51) / n) for w, n in ((1, 2), (20, 45), (3, 4))]
        np.testing.assert_allclose(bounds, expected, rtol=1e-12)

    @pytest.mark.parametrize("level", [1e-6, 0.01, 0.5, 5.0])
    def test_the_bounds_of_kl_ucb_solve_their_equation(self, level):
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

    def test_kl_ucb_bounds_what_is_likely_by_its_counts(self, key):
        np.testing.assert_allclose(KLUCB().values(ANY, NOW, key)[0, 0], ANY.upper(jnp.log(51.0) / ANY.pulls()))
        np.testing.assert_allclose(GaussianArms.of(GaussianBandit(2, spread=0.5, noise=2.0)).pulls(), 16.0)


class TestThompson:
    def test_optimism_never_values_less_than_the_mean(self, key):
        keys = jax.random.split(key, 200)
        drawn = jax.vmap(lambda key: Thompson().values(ANY, NOW, key))(keys)
        hoped = jax.vmap(lambda key: OptimisticThompson().values(ANY, NOW, key))(keys)
        assert (hoped >= ANY.expected()).all()
        assert (hoped >= drawn).all()
        assert (drawn < ANY.expected()).any()

    def test_one_draw_is_the_likeliest_of_one(self, key):
        arms = GaussianArms(jnp.array([1.0, -2.0]), jnp.array([1.0, 9.0]), 1.0)
        drawn = LikeliestDraw(1).values(arms, NOW, key)
        np.testing.assert_allclose(drawn, Thompson().values(arms, NOW, jax.random.split(key, 1)[0]), rtol=1e-12)

    def test_the_likeliest_of_many_is_near_the_mode(self, key):
        arms = BernoulliArms(jnp.array([5.0, 9.0]), jnp.array([7.0, 3.0]))
        np.testing.assert_allclose(LikeliestDraw(2000).values(arms, NOW, key)[0, 0], [0.4, 0.8], atol=0.06)
        gaussian = GaussianArms(jnp.array([1.0, -2.0]), jnp.array([1.0, 9.0]), 1.0)
        np.testing.assert_allclose(LikeliestDraw(2000).values(gaussian, NOW, key)[0, 0], [1.0, -2.0], atol=0.2)

    def test_densities_integrate_to_one(self):
        grid = (jnp.arange(2000.0) + 0.5) / 2000
        one = BernoulliArms(jnp.array([3.0]), jnp.array([5.0]))
        np.testing.assert_allclose(jnp.exp(jax.vmap(one.log_density)(grid[:, None])).mean(), 1, rtol=1e-5)
        one = GaussianArms(jnp.array([0.3]), jnp.array([4.0]), 1.0)
        np.testing.assert_allclose(20 * jnp.exp(jax.vmap(one.log_density)(20 * grid[:, None] - 10)).mean(), 1, rtol=1e-5)


class TestInformationDirected:
    def test_regret_and_information_are_those_of_many_draws(self, key):
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

    def test_two_new_arms(self):
        """E max = 2/3, so Δ = 1/6; E[θ_i | i is best] = 2/3 and 1/3 otherwise, so v = 1/36, and any choice costs 1."""
        regret, information = regret_and_information(BernoulliArms(jnp.ones(2), jnp.ones(2)), 1000)
        np.testing.assert_allclose(regret, 1 / 6, rtol=1e-5)
        np.testing.assert_allclose(information, 1 / 36, rtol=1e-5)

    def test_no_other_odds_cost_less(self, key):
        others = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 2000)

        for regret, information in np.asarray(jax.random.uniform(key, (20, 2, 4))):
            first, second, odds = cheapest(jnp.asarray(regret), jnp.asarray(information))
            found = float(odds) * np.eye(4)[first] + (1 - float(odds)) * np.eye(4)[second]
            ratio, *ratios = (np.stack((found, *others)) @ regret) ** 2 / (np.stack((found, *others)) @ information)
            assert ratio <= min(ratios) + 1e-12

    def test_it_plays_by_its_odds(self, key):
        arms = BernoulliArms(jnp.array([30.0, 1.0, 1.0]), jnp.array([20.0, 1.0, 3.0]))
        first, second, odds = cheapest(*regret_and_information(arms, 128))
        played = jax.jit(jax.vmap(lambda key: InformationDirected().values(arms, NOW, key)[0, 0]))(
            jax.random.split(key, 4000)
        )
        assert 0.01 < odds < 0.99
        assert (played.sum(-1) == 1).all()
        np.testing.assert_allclose(played.mean(0)[jnp.array([first, second])], [odds, 1 - odds], atol=0.04)


class TestBest:
    """BayesOptimal, and that nobody does better."""

    def test_values_that_can_be_had_by_hand(self):
        assert two_arms(Bandit(2), 1)[0] == 0.5
        np.testing.assert_allclose(two_arms(Bandit(2), 2)[0], 1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2)
        np.testing.assert_allclose(two_arms(Bandit(2, 2.0, 6.0), 1)[0], 1 / 4)

    @pytest.mark.usefixtures("_as_it_is_run")
    def test_its_value_is_what_it_gets_and_no_other_gets_more(self):
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
    def test_its_value_with_another_prior(self):
        env = Bandit(2, 1.0, 3.0)
        mean, error = average(totals(env, BayesOptimal(), 20))
        assert abs(mean - two_arms(env, 20)[0]) < 4 * error


@pytest.mark.usefixtures("_as_it_is_run")
def test_arms_that_always_pay_or_never_do():
    """With arms of chance 0 or 1, nearly, who explores finds one that pays, and stays."""
    env = Bandit(3, 1e-3, 1e-3)
    for strategy in (Greedy(), UCB1(0.01), KLUCB(1e-6), Gittins(0.9)):
        paid = np.asarray(score(env, strategy, 8, 500, key=jax.random.key(3)))
        assert (np.diff(paid, axis=-1) >= 0).mean() > 0.99, strategy
        assert abs(paid[:, -1].mean() - 7 / 8) < 0.07, strategy


@pytest.mark.usefixtures("_as_it_is_run")
def test_exploring_pays_in_gaussian_arms():
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
        (lambda: InformationDirected(1), "give 2 at least"),
        (lambda: BayesOptimal().ready(Bandit(3), 10), "two arms, not 3"),
        (lambda: BayesOptimal().ready(Bandit(2), 200), "50 episodes at most, not 200.*6 GB"),
        (lambda: Gittins().ready(GaussianBandit(2), 10), "Gittins plays Bandit, not GaussianBandit"),
        (lambda: UCB1().ready(TabularMDP(), 10), "UCB1 plays Bandit and GaussianBandit, not TabularMDP"),
        (lambda: KLUCB().ready(TabularMDP(), 10), "KLUCB plays"),
        (lambda: LikeliestDraw().ready(TabularMDP(), 10), "LikeliestDraw plays"),
        (lambda: InformationDirected().ready(GaussianBandit(2), 10), "InformationDirected plays Bandit"),
        (lambda: Gittins().values(ANY, NOW, jax.random.key(0)), "ready.* returns"),
        (lambda: BayesOptimal().values(ANY, NOW, jax.random.key(0)), "ready.* returns"),
    ],
)
def test_what_no_strategy_can_play_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
