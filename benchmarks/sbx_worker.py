"""The worker for sbx: off-policy agents of SB3 in JAX, on Gymnasium's environments."""

import time

from sbx import DDPG, DQN
from stable_baselines3.common.env_util import make_vec_env
from worker import answer

ALGORITHMS = {"dqn": DQN, "ddpg": DDPG}


def train(algorithm: str, env: str, copies: int, batch: int, buffer: int, seconds: float) -> dict[str, float]:
    """Steps of acting, each with a gradient step for all copies together."""
    model = ALGORITHMS[algorithm](
        "MlpPolicy",
        make_vec_env(env, copies, seed=0),
        learning_rate=1e-3,
        buffer_size=buffer,
        learning_starts=1_000,
        batch_size=batch,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [64, 64]},
        seed=0,
    )
    model.learn(3_000)  # compiles, and fills the replay
    began, took, steps = time.perf_counter(), 0.0, 0
    while took < seconds:
        model.learn(2_000, reset_num_timesteps=False)
        took, steps = time.perf_counter() - began, steps + 2_000
    return {"seconds": took * copies / steps, "steps_per_second": steps / took}


if __name__ == "__main__":
    sizes = {"copies": 8, "batch": 128, "buffer": 100_000, "seconds": 10.0}
    answer({"train": (train, {"algorithm": "ddpg", "env": "Pendulum-v1", **sizes})}, "sbx-rl", "stable-baselines3", "jax")
