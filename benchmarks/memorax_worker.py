"""The worker for memorax: PPO with a GRU each for policy and value, and R2D2, on gymnax's environments."""

import flax.linen as nn
import jax
import optax
from memorax.algorithms import PPO, R2D2, PPOConfig, R2D2Config
from memorax.buffers import make_prioritised_episode_buffer
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


def r2d2(env: str, units: int, copies: int, batch: int, length: int, buffer: int, updates: int, seconds: float):
    """Updates of R2D2: a step of all copies, and a gradient step on `batch` windows of `length` steps."""
    world, parameters = environment.make(f"gymnax::{env}")
    burn_in = 4
    config = R2D2Config(
        name="R2D2",
        learning_rate=1e-3,
        num_envs=copies,
        num_eval_envs=1,
        buffer_size=buffer,
        gamma=0.99,
        tau=0.005,
        target_network_frequency=1,
        batch_size=batch,
        start_e=1.0,
        end_e=0.05,
        exploration_fraction=0.5,
        learning_starts=1_000,
        train_frequency=copies,
        burn_in_length=burn_in,
        sequence_length=burn_in + length,
        n_step=3,
    )
    extractor, torso = FeatureExtractor(observation_extractor=Identity()), RNN(nn.GRUCell(units))
    network = Network(extractor, torso, heads.DiscreteQNetwork(world.action_space(parameters).n))
    replay = make_prioritised_episode_buffer(
        max_length=buffer,
        min_length=1_000,
        sample_batch_size=batch,
        sample_sequence_length=burn_in + length,
        add_sequences=True,
        add_batch_size=copies,
        priority_exponent=config.priority_exponent,
    )
    explores, weighs = optax.constant_schedule(0.05), optax.constant_schedule(0.6)
    agent = R2D2(config, world, parameters, network, optax.adam(1e-3), replay, explores, weighs)
    key, state = agent.init(jax.random.key(0))
    key, state = agent.warmup(key, state, 2_000)

    def run():
        nonlocal key, state
        key, state, _ = jax.block_until_ready(agent.train(key, state, copies * updates))

    took = median_seconds(run, seconds) / updates
    return {"seconds": took, "steps_per_second": copies / took}


if __name__ == "__main__":
    sizes = {"copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4, "seconds": 10.0}
    replayed = {"copies": 8, "batch": 8, "length": 16, "buffer": 100_000, "updates": 512, "seconds": 10.0}
    answer(
        {
            "ppo": (ppo, {"env": "CartPole-v1", "units": 64, **sizes}),
            "r2d2": (r2d2, {"env": "CartPole-v1", "units": 64, **replayed}),
        },
        "memorax",
        "gymnax",
        "jax",
    )
