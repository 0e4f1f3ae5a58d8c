"""The worker for rejax: off-policy agents without memory, on gymnax's environments."""

import jax
from rejax import get_algo
from worker import answer, median_seconds


def train(algorithm: str, env: str, copies: int, batch: int, buffer: int, steps: int, seeds: int, seconds: float):
    """Steps of acting, each with a gradient step for all copies together."""
    made = get_algo(algorithm).create(
        env=env,
        num_envs=copies,
        batch_size=batch,
        buffer_size=buffer,
        fill_buffer=1_000,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        learning_rate=1e-3,
    )
    made = made.replace(eval_callback=lambda algorithm, state, key: ())
    keys = jax.random.split(jax.random.key(0), seeds)
    state = jax.jit(jax.vmap(made.init_state))(keys)
    advance = jax.jit(jax.vmap(lambda state: made.train(train_state=state)[0]))

    def run():
        nonlocal state
        state = jax.block_until_ready(advance(state))

    took = median_seconds(run, seconds)
    return {"seconds": took, "steps_per_second": seeds * steps / took}


if __name__ == "__main__":
    sizes = {"copies": 8, "batch": 128, "buffer": 100_000, "steps": 16_384, "seeds": 1, "seconds": 10.0}
    answer({"train": (train, {"algorithm": "dqn", "env": "CartPole-v1", **sizes})}, "rejax", "gymnax", "jax")
