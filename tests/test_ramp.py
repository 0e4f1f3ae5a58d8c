"""Numbers that change as an agent learns: at each update an agent is the one that has that update's numbers."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from engram import BPTT, GRU, PPO, InputError, LookAhead, PolicyGradient, Ramp, TMaze, actor_critic
from engram.agents.base import AbstractAgent
from engram.agents.ramp import settled
from engram.envs import Ladder

ENV = TMaze(2)
STEP = optax.sgd(1e-2)
AGENTS = {
    "PPO": lambda **numbers: PPO(ENV, BPTT(), STEP, minibatches=2, **numbers),
    "policy gradient": lambda **numbers: PolicyGradient(ENV, BPTT(), STEP, LookAhead(2), **numbers),
}


def begun(agent: AbstractAgent):
    model_key, key = jax.random.split(jax.random.key(0))
    return agent.init(actor_critic(agent.env, lambda size, key: GRU(size, 4, key=key), key=model_key), 4, key=key)


def after(agent, updates):
    """The parameters after an update, of an agent that has had so many."""
    state = dataclasses.replace(begun(agent), updates=jnp.asarray(updates))
    model = agent.train(state, 1, 6)[0].model
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))])


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize(("updates", "gamma", "cost"), [(0, 0.5, 0.2), (5, 0.7, 0.1), (10, 0.9, 0.0), (1000, 0.9, 0.0)])
def test_at_each_update_it_is_the_agent_with_its_numbers(make, updates, gamma, cost):
    changing = make(gamma=Ramp(0.5, 0.9, 10), entropy_cost=Ramp(0.2, 0.0, 10))
    found = after(changing, updates)
    np.testing.assert_allclose(found, after(make(gamma=gamma, entropy_cost=cost), updates), rtol=1e-12)
    for other in (make(gamma=gamma, entropy_cost=4.0), make(gamma=0.1, entropy_cost=cost)):
        assert np.abs(found - after(other, updates)).max() > 1e-7, "it would be so with any numbers"


def test_ramps_that_cannot_be_and_values_before_they_are_known_are_refused():
    with pytest.raises(InputError, match=r"Ramp\(updates=0\): give 1 at least"):
        Ramp(0.0, 1.0, 0)
    with pytest.raises(InputError, match="ask agent"):
        settled(Ramp(0.0, 1.0, 10))
    with pytest.raises(InputError, match="a discount is between 0 and 1"):
        PPO(Ladder(), BPTT(), STEP, gamma=Ramp(0.5, 1.1, 10))
