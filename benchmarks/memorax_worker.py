"""The worker for memorax: PPO with a GRU each for policy and value, on gymnax's environments."""

import flax.linen as nn
import jax
import optax
from memorax.algorithms import PPO, PPOConfig
from memorax.environments import environment
from memorax.networks import RNN, FeatureExtractor, Identity, Network, heads
from worker import answer, median_seconds


def ppo(env: str, units: int, copies: int, rollout: int, epochs: int, minibatches: int, seconds: float):
    """Updates of PPO."""
    world, parameters = environment.make(f"gymnax::{env}")
    config = PPOConfig(
        name="PPO",
        num_envs=copies,
        num_eval_envs=1,
        num_steps=rollout,
        gamma=0.99,
        gae_lambda=0.95,
        num_minibatches=minibatches,
        update_epochs=epochs,
        normalize_advantage=True,
        clip_coef=0.2,
        clip_vloss=False,
        ent_coef=0.01,
        vf_coef=0.5,
    )

    def network(head):
        return Network(FeatureExtractor(observation_extractor=Identity()), RNN(nn.GRUCell(units)), head)

    actor = network(heads.Categorical(world.action_space(parameters).n))
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))
    agent = PPO(config, world, parameters, actor, network(heads.VNetwork()), optimizer, optimizer)
    key, state = agent.init(jax.random.key(0))

    def run():
        nonlocal key, state
        key, state, _ = jax.block_until_ready(agent.train(key, state, 4 * copies * rollout))

    took = median_seconds(run, seconds) / 4
    return {"seconds": took, "steps_per_second": copies * rollout / took}


if __name__ == "__main__":
    sizes = {"copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4, "seconds": 10.0}
    answer({"ppo": (ppo, {"env": "CartPole-v1", "units": 64, **sizes})}, "memorax", "gymnax", "jax")
