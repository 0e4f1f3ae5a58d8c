"""The replay: adding steps, drawing windows and writing memories back, in a scan."""

import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from farback.replay import PrioritizedReplay, Replay


def draw(
    copies: int,
    capacity: int,
    floats: int,
    batch: int,
    length: int,
    steps: int,
    write: int,
    prioritized: int,
    seconds: float,
) -> dict[str, float]:
    """A batch of windows is drawn, and one step of all copies is added. With `write`, their memories are written back; with
    `prioritized`, they are drawn by priorities, which are set anew.
    """
    example = {"observation": jnp.zeros(4), "memory": jnp.zeros(floats), "reward": jnp.zeros(())}
    replay = Replay.empty(example, copies, capacity)
    if prioritized:
        replay = PrioritizedReplay.empty(example, copies, capacity, length)
    new = jax.tree.map(lambda leaf: jnp.ones((copies, 1, *leaf.shape)), example)
    for _ in range(length):
        replay = replay.add(new)

    def advance(replay, key):
        def one(carry, key):
            replay, total = carry
            if prioritized:
                indices, window, probability = replay.sample(key, batch)
                replay = replay.set_priorities(indices, 1 + probability)
            else:
                indices, window = replay.sample(key, batch, length)
            if write:
                replay = replay.write(indices, 0.5 * window["memory"], lambda steps: steps["memory"])
            total += sum(jnp.sum(leaf) for leaf in jax.tree.leaves(window))
            return (replay.add(new, after=total), total), None

        return jax.lax.scan(one, (replay, 0.0), jax.random.split(key, steps))[0]

    advance = jax.jit(advance, donate_argnums=0)

    def run():
        nonlocal replay
        replay, total = advance(replay, jax.random.key(0))
        total.block_until_ready()

    took = median_seconds(run, seconds) / steps
    return {"seconds": took}


if __name__ == "__main__":
    sizes = {"copies": 8, "capacity": 12_500, "floats": 64, "batch": 32, "length": 16, "steps": 1_000}
    answer({"draw": (draw, {**sizes, "write": 0, "prioritized": 0, "seconds": 5.0})}, "farback", "jax")
