"""MemUP: the time of an update, of everything from the first episode to a policy that remembers, and of the gradient of
a transformer.
"""

import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from farback import Config, configure, load, run_config
from farback.cell import AbstractCell, unroll
from farback.cells import GTrXL


def maze(corridor: int) -> str:
    """The T-maze LNR, with the last action and reward in the observation."""
    return f"PreviousActionReward(TMaze({corridor}, extra=10))"


def memory(corridor: int, units: int, batch: int, window: int, passes: int) -> Config:
    """A memory that MemUP trains on episodes of random actions."""
    steps = -(-(corridor + 10) // window) * window * batch * passes
    return configure(
        "memup",
        data=f"RandomEpisodes({maze(corridor)})",
        cell=f"Chain(MLP(64, layers=1), LSTM({units}))",
        optimizer="chain(clip_by_global_norm(1.0), adam(1e-3))",
        batch_size=batch,
        window=window,
        total_steps=steps,
        log_every=1,
    )


def update(corridor: int, units: int, batch: int, window: int, seconds: float) -> dict[str, float]:
    """One step of the optimizer: its share of a pass, in which episodes are played, scored and learnt from."""
    memup = memory(corridor, units, batch, window, 1).build()
    arrays, static = eqx.partition(memup.init(jax.random.key(0)), eqx.is_array)
    learn = jax.jit(lambda arrays: eqx.filter(memup.update(eqx.combine(arrays, static))[0], eqx.is_array))
    passed = median_seconds(lambda: jax.block_until_ready(learn(arrays)), seconds)
    return {"seconds": passed / -(-(corridor + 10) // window)}


def solve(corridor: int, units: int, batch: int, passes: int, rollouts: int) -> dict[str, float]:
    """Training of a memory from scratch, and then of a policy that reads it, including compilation."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        remembers, acts = Path(home) / "memory", Path(home) / "policy"
        run_config(memory(corridor, units, batch, 1, passes), remembers)
        policy = configure(
            "ppo",
            env=maze(corridor),
            memory=f"Pretrained({str(remembers)!r})",
            cell="MLP(64)",
            shared_memory=True,
            optimizer="chain(clip_by_global_norm(0.5), adam(1e-3))",
            num_envs=32,
            window=corridor + 11,
            sequence_length=1,
            total_steps=32 * (corridor + 11) * rollouts,
            log_every=1,
        )
        run_config(policy, acts)
        seconds = time.perf_counter() - start
        returns = load(acts).evaluate(episodes=1_000)[0]["charts/episodic_return"].total
    return {"seconds": seconds, "return": float(returns.mean())}


class Stepwise(AbstractCell):
    """A cell that is unrolled step by step, even if it has a faster unroll."""

    cell: AbstractCell

    def initial(self):
        return self.cell.initial()

    def __call__(self, state, x):
        return self.cell(state, x)


def attention(stepwise: int, units: int, layers: int, batch: int, steps: int, seconds: float) -> dict[str, float]:
    """The gradient of a window of a gated transformer that attends to all of it, at once or step by step."""
    inputs = 10
    cell = GTrXL(inputs, units, memory=steps, layers=layers, key=jax.random.key(0))
    model = Stepwise(cell) if stepwise else cell
    x = jax.random.normal(jax.random.key(1), (steps, batch, inputs))
    first, flow = jnp.zeros((steps, batch), bool).at[0].set(True), jnp.ones((steps, batch))
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), cell.initial())

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(model):
        return jnp.mean(unroll(model, state, first, x, flow)[1] ** 2)

    return {"seconds": median_seconds(lambda: jax.block_until_ready(gradient(model)), seconds, least=2)}


if __name__ == "__main__":
    cases = {
        "update": (update, {"corridor": 1000, "units": 256, "batch": 64, "window": 1, "seconds": 20.0}),
        "attention": (attention, {"stepwise": 0, "units": 128, "layers": 4, "batch": 64, "steps": 120, "seconds": 4.0}),
        "solve": (solve, {"corridor": 1000, "units": 128, "batch": 64, "passes": 40, "rollouts": 60}),
    }
    answer(cases, "farback", "jax")
