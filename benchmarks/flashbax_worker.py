"""The worker for flashbax: adding to a trajectory buffer and drawing windows from it, in a scan."""

import flashbax
import jax
import jax.numpy as jnp
from worker import answer, median_seconds


def draw(copies: int, capacity: int, floats: int, batch: int, length: int, steps: int, seconds: float):
    """One step of all copies is added, and a batch of windows is drawn."""
    buffer = flashbax.make_trajectory_buffer(
        add_batch_size=copies,
        sample_batch_size=batch,
        sample_sequence_length=length,
        period=1,
        min_length_time_axis=length,
        max_length_time_axis=capacity,
    )
    example = {"observation": jnp.zeros(4), "memory": jnp.zeros(floats), "reward": jnp.zeros(())}
    state = buffer.init(example)
    new = jax.tree.map(lambda leaf: jnp.ones((copies, 1, *leaf.shape)), example)
    for _ in range(length):
        state = buffer.add(state, new)

    def advance(state, key):
        def one(carry, key):
            state, total = carry
            state = buffer.add(state, new)
            window = buffer.sample(state, key).experience
            return (state, total + sum(jnp.sum(leaf) for leaf in jax.tree.leaves(window))), None

        return jax.lax.scan(one, (state, 0.0), jax.random.split(key, steps))[0]

    advance = jax.jit(advance, donate_argnums=0)

    def run():
        nonlocal state
        state, total = advance(state, jax.random.key(0))
        total.block_until_ready()

    took = median_seconds(run, seconds) / steps
    return {"seconds": took}


if __name__ == "__main__":
    sizes = {"copies": 8, "capacity": 12_500, "floats": 64, "batch": 32, "length": 16, "steps": 1_000, "seconds": 5.0}
    answer({"draw": (draw, sizes)}, "flashbax", "jax")
