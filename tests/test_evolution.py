"""Evolution strategies: their equations, what they find, and the returns that they learn from."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import MultiDiscrete
from states import arrays

from farback.cells import GRU, MLP, Frozen
from farback.envs import CartPole, Gymnasium, HighLow, Pendulum, TMaze
from farback.evolution import CMAES, ActionHead, ActionNetwork, ActionPolicy, OpenAIES
from farback.evolution.base import parameters_of, with_parameters
from farback.types import InputError

MAKER = ActionNetwork(functools.partial(GRU, size=3))


def cma_es(**changes):
    return CMAES(TMaze(3), MAKER, **changes)


def minimised(agent, function, generations, start, key):
    """The values of the mean of a search, generation after generation."""

    def one(carry, key):
        search, mean = carry
        candidates = agent.ask(search, mean, key)
        search, mean, _ = agent.tell(search, mean, candidates, -jax.vmap(function)(candidates))
        return (search, mean), function(mean)

    keys = jax.random.split(key, generations)
    (search, _), values = jax.jit(lambda: jax.lax.scan(one, (agent.begin(start), start), keys))()
    return search, np.asarray(values)


ROTATION = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0])
CONDITION = 10.0 ** (4 * jnp.arange(8) / 7)


def ellipsoid(x):
    return jnp.sum(CONDITION * (ROTATION @ x) ** 2)


def straight_ellipsoid(x):
    return jnp.sum(CONDITION * x**2)


def test_cma_es_adapts_to_a_rotated_ellipsoid(key, monkeypatch):
    """With a condition of 10⁴, its covariance comes to be the inverse Hessian matrix, up to a factor."""
    agent = cma_es(population=10, initial_scale=1.0)
    search, values = minimised(agent, ellipsoid, 400, jnp.ones(8), key)
    assert values[-1] < 1e-10
    hessian = ROTATION.T @ (CONDITION[:, None] * ROTATION)
    product = np.linalg.eigvals(np.asarray(search.covariance @ hessian)).real
    assert product.max() / product.min() < 30
    rates = agent.rates(8)._replace(rank_one=0.0, rank_mu=0.0)
    monkeypatch.setattr(CMAES, "rates", lambda self, n: rates)
    assert minimised(agent, ellipsoid, 400, jnp.ones(8), key)[1][-1] > 1e-4, "control: no adaptation"


def test_diagonal_cma_es_adapts_to_an_ellipsoid_along_the_axes(key):
    agent = cma_es(population=10, initial_scale=1.0, diagonal=True)
    assert minimised(agent, straight_ellipsoid, 400, jnp.ones(8), key)[1][-1] < 1e-10
    assert minimised(agent, ellipsoid, 400, jnp.ones(8), key)[1][-1] > 1e-6, "control: rotated"


@pytest.mark.parametrize("diagonal", [False, True])
def test_cma_es_makes_the_update_of_the_equations(diagonal, key):
    """Two updates, against the tutorial's equations in NumPy."""
    agent, mean = cma_es(population=6, initial_scale=0.3, diagonal=diagonal), jnp.array([0.5, -1.0, 2.0])
    rates = agent.rates(3)
    assert np.isclose(rates.weights[:3].sum(), 1)
    assert (rates.weights[3:] < 0).all()
    assert rates.interval == 1
    search = agent.begin(mean)
    m, sigma, c, p_sigma, p_c = np.asarray(mean), 0.3, np.eye(3), np.zeros(3), np.zeros(3)
    for generation in (1, 2):
        candidates = agent.ask(search, mean, jax.random.fold_in(key, generation))
        returns = jnp.sin(7 * candidates.sum(axis=1))
        search, mean, charts = agent.tell(search, mean, candidates, returns)
        y = (np.asarray(candidates)[np.argsort(-np.asarray(returns))] - m) / sigma
        step = rates.weights[:3] @ y[:3]
        before, (values, axes) = c, np.linalg.eigh(c)
        root = axes @ np.diag(values**-0.5) @ axes.T
        white = root @ step
        p_sigma = (1 - rates.path_step) * p_sigma + np.sqrt(rates.path_step * (2 - rates.path_step) * rates.mass) * white
        norm = np.linalg.norm(p_sigma)
        h = float(norm / np.sqrt(1 - (1 - rates.path_step) ** (2 * generation)) < (1.4 + 2 / 4) * rates.length)
        p_c = (1 - rates.path_rank) * p_c + h * np.sqrt(rates.path_rank * (2 - rates.path_rank) * rates.mass) * step
        lost = (1 - h) * rates.path_rank * (2 - rates.path_rank)
        scaled = [
            w if w > 0 else w * 3 / np.linalg.norm(root @ each) ** 2 for w, each in zip(rates.weights, y, strict=True)
        ]
        c = (1 - rates.rank_one - rates.rank_mu * rates.weights.sum()) * c
        c = c + rates.rank_one * (np.outer(p_c, p_c) + lost * before)
        c = c + rates.rank_mu * sum(w * np.outer(each, each) for w, each in zip(scaled, y, strict=True))
        c = np.diag(np.diag(c)) if diagonal else c
        m, sigma = m + sigma * step, sigma * np.exp(min(1, rates.path_step / rates.damping * (norm / rates.length - 1)))
        np.testing.assert_allclose(mean, m, rtol=1e-12)
        np.testing.assert_allclose(charts["scale"], sigma, rtol=1e-12)
        np.testing.assert_allclose(search.covariance, np.diag(c) if diagonal else c, rtol=1e-10, atol=1e-12)


def test_cma_es_depends_on_the_order_of_returns_alone(key):
    agent = cma_es(population=8)
    one = minimised(agent, ellipsoid, 20, jnp.ones(8), key)[1]
    other = minimised(agent, lambda x: jnp.log(ellipsoid(x)), 20, jnp.ones(8), key)[1]
    np.testing.assert_allclose(np.log(one), other, rtol=1e-9)


def openai_es(**changes):
    return OpenAIES(TMaze(3), MAKER, **({"optimizer": optax.sgd(0.5), "population": 6, "mirrored": False} | changes))


def test_openai_es_makes_the_update_of_algorithm_3(key):
    agent, mean = openai_es(noise=0.2), jnp.array([0.5, -1.0])
    candidates = agent.ask(agent.begin(mean), mean, key)
    noises, returns = (candidates - mean) / 0.2, jnp.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    _, moved, charts = agent.tell(agent.begin(mean), mean, candidates, returns)
    advantages = (returns - returns.mean()) / returns.std()
    gradient = (advantages[:, None] * noises).sum(axis=0) / (0.2 * 6)
    np.testing.assert_allclose(moved, mean + 0.5 * gradient, rtol=1e-12)
    np.testing.assert_allclose(charts["losses/grad_norm"], jnp.linalg.norm(gradient), rtol=1e-12)
    still = agent.tell(agent.begin(mean), mean, candidates, jnp.ones(6))[1]
    np.testing.assert_array_equal(still, mean, "equal returns have no direction")


def test_openai_es_with_pairs_and_ranks(key):
    agent, mean = openai_es(mirrored=True, ranks=True), jnp.array([0.5, -1.0])
    candidates = agent.ask(agent.begin(mean), mean, key)
    np.testing.assert_allclose(candidates[:3] + candidates[3:], 2 * jnp.stack([mean] * 3))
    one = agent.tell(agent.begin(mean), mean, candidates, jnp.array([3.0, 1.0, 4.0, 2.0, 5.0, 9.0]))[1]
    other = agent.tell(agent.begin(mean), mean, candidates, jnp.array([3.0, 1.0, 4.0, 2.0, 5.0, 1e9]))[1]
    np.testing.assert_array_equal(one, other, "the size of the best return does not count")
    by_hand = (jnp.array([2, 0, 3, 1, 4, 5]) / 5 - 0.5) @ (candidates - mean) / (0.1**2 * 6)
    np.testing.assert_allclose(one, mean + 0.5 * by_hand, rtol=1e-9)


def test_openai_es_follows_the_gradient(key):
    """In the mean: the gradient of a linear function, divided by the standard deviation of returns."""
    agent, slope = openai_es(population=2000, noise=0.1), jnp.array([1.0, -2.0, 0.5])
    mean = jnp.zeros(3)
    candidates = agent.ask(agent.begin(mean), mean, key)
    moved = agent.tell(agent.begin(mean), mean, candidates, candidates @ slope)[1]
    np.testing.assert_allclose(moved / 0.5, slope / (0.1 * jnp.linalg.norm(slope)), atol=0.8)
    assert jnp.dot(moved, slope) / jnp.linalg.norm(moved) / jnp.linalg.norm(slope) > 0.99


def test_candidates_play_in_the_same_worlds(key):
    agent = cma_es(episodes=16)
    network = MAKER(agent.env, key=key)
    same = jnp.stack([parameters_of(network)] * 3)
    returns = agent._play(network, same, key).returns
    assert returns.shape == (3, 16)
    assert len(set(returns[0].tolist())) > 1
    np.testing.assert_array_equal(returns[0], returns[1])
    assert not jnp.array_equal(returns, agent._play(network, same, jax.random.fold_in(key, 1)).returns)


def test_a_return_that_is_not_finite_is_the_worst(key, monkeypatch):
    told = []

    class Told(OpenAIES):
        def tell(self, search, mean, candidates, returns):
            told.append(returns)
            return super().tell(search, mean, candidates, returns)

    agent = Told(TMaze(3), MAKER, optax.sgd(0.5), population=4, episodes=1)
    state = agent.init(key)
    played = agent._play(state.network, jnp.stack([parameters_of(state.network)] * 4), key)
    for broken, expected in (([1.0, jnp.nan, 3.0, -2.0], [1, -2, 3, -2]), ([jnp.nan] * 4, [0] * 4)):
        found = played._replace(returns=jnp.array(broken)[:, None])
        monkeypatch.setattr(Told, "_play", lambda self, network, candidates, key, found=found: found)
        agent.update(state)
        assert told[-1].tolist() == expected


def test_frozen_parameters_stay(key):
    agent = cma_es(population=4, episodes=1)
    maker = ActionNetwork(functools.partial(MLP, size=4, layers=1), memory=lambda size, key: Frozen(GRU(size, 3, key=key)))
    agent = eqx.tree_at(lambda agent: agent.network, agent, maker)
    state = agent.init(key)
    moved = eqx.filter_jit(agent.update)(state)[0].network
    before, after = (arrays(network.memory.layers[0]) for network in (state.network, moved))
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert not np.array_equal(moved.head.linear.weight, state.network.head.linear.weight)


def test_actions_of_the_head(key):
    space = Pendulum().action_space
    head = ActionHead(2, space, key=key)
    head = eqx.tree_at(lambda head: (head.linear.weight, head.linear.bias), head, (jnp.array([[1.0, 0.0]]), jnp.zeros(1)))
    assert [float(head(jnp.array([x, 0.0]))[0]) for x in (-9.0, 0.5, 9.0)] == [-2, 0.5, 2]
    network = ActionNetwork(functools.partial(GRU, size=3))(TMaze(3), key=key)
    observation = TMaze(3).observe(TMaze(3).reset(key))
    policy = ActionPolicy(network)
    action = policy(policy.initial(), observation, True, key)[1]
    vector = network.head.linear(network.memory(network.memory.initial(), network.encoder(observation))[1])
    assert action == jnp.argmax(vector)
    with pytest.raises(InputError, match="these are of MultiDiscrete"):
        ActionHead(2, MultiDiscrete([2, 3]), key=key)


def test_parameters_make_the_network_again(key):
    network = MAKER(TMaze(3), key=key)
    again = with_parameters(network, parameters_of(network))
    assert all(np.array_equal(one, other) for one, other in zip(arrays(network), arrays(again), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent", [CMAES, functools.partial(OpenAIES, optimizer=optax.adam(5e-2))], ids=["CMA-ES", "OpenAI-ES"]
)
def test_evolution_solves_a_pole(agent, key):
    agent = agent(CartPole(), ActionNetwork(functools.partial(MLP, size=4, layers=1)), population=32, episodes=4)
    with jax.numpy_dtype_promotion("standard"):
        state, outcomes = agent.train(eqx.filter_jit(agent.init)(key), 60)
        found = eqx.filter_jit(agent.evaluate)(state.network, key, 32)["charts/episodic_return"]
    returns = outcomes.metrics["episodic_return"]
    assert returns.total[0] / returns.count[0] < 100
    assert jnp.mean(found.total) > 400


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cma_es(population=3), "CMAES.population=3.: give population >= 4"),
        (lambda: cma_es(episodes=0), "CMAES.episodes=0.: give episodes >= 1"),
        (lambda: cma_es(initial_scale=0.0), "give a finite initial_scale > 0"),
        (lambda: openai_es(noise=-1.0), "give a finite noise > 0"),
        (lambda: openai_es(mirrored=True, population=5), "mirrored changes come in pairs"),
        (lambda: CMAES(Gymnasium("CartPole-v1"), MAKER), "runs each in a process: give an environment in JAX"),
    ],
)  # fmt: skip
def test_evolution_refuses_bad_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_network_of_other_actions_is_refused(key):
    agent = CMAES(HighLow(3), lambda env, *, key: MAKER(TMaze(3), key=key))
    with pytest.raises(InputError, match=r"The actions of the network are Discrete\(2\), and those of HighLow are"):
        agent.init(key)
