"""Learning long-term dependencies with deep memory states; Pong, Gu and Levine, 2017."""

from collections.abc import Mapping, Sequence
from functools import partial

from farback.envs import HighLow, Target
from farback.papers.engine.item import RETURN, Case, Item
from farback.papers.engine.runs import Words, configured, evaluation, evaluation_after, metrics
from farback.reports.grid import draw_grid

TITLE = "Deep memory states"
STEPS = 26
"""The steps of an episode of both tasks, the last observation included."""
SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
NOISE = "OrnsteinUhlenbeck(0.1625, 1.082)"
"""The noise of the authors' code, θ = 0.15 and σ = 1 by Euler's method."""
EPISODES = 200
"""The episodes of an evaluation."""

LSTM = "LSTM({}, input_init=Orthogonal(), state_init=Identity())"
"""The initialisation of the authors' code for the toy task."""

ONE = Words(num_envs=1, window=1, gradient_steps=1, seed=SEED)
"""One gradient step for each step of one environment."""
OURS = ONE | Words(algorithm="memory-actor-critic", memory_bound=1.0, exploration=NOISE, within_episodes=True)
SLOW = Words(optimizer="adam(1e-3)", policy_optimizer="adam(1e-3)", write_optimizer="adam(1e-5)")
FAST = Words(optimizer="adam(2e-3)", policy_optimizer="adam(1e-3)", write_optimizer="adam(5e-4)")
TOY = OURS | SLOW | Words(env="HighLow(25)", gamma=1.0)
BELLMAN = OURS | FAST | Words(q_coef=0.0, write_exploration=NOISE, gamma=0.9)
TARGET = BELLMAN | Words(env="Target()")

VARIANTS: Mapping[str, Words] = {
    "memory states": {},
    "memory not loaded": {"load_memory": False},
    "critic without memory": {"critic_sees_memory": False},
    "truncated BPTT": {"load_memory": False, "critic_sees_memory": False},
}
CLAIMS: Mapping[str, Mapping[int, float]] = {
    "memory states": {1: 1.0, 5: 0.78, 10: 0.834, 15: 0.82, 20: 0.999, 25: 1.0},
    "memory not loaded": {1: -0.036, 5: 0.45, 10: 0.463, 15: 0.28, 20: 0.244, 25: 1.0},
    "critic without memory": {1: 0.328, 5: 0.204, 10: 0.481, 15: 0.391, 20: 0.507, 25: 0.491},
    "truncated BPTT": {1: 0.045, 5: 0.19, 10: 0.11, 15: 0.285, 20: 0.34, 25: 0.28},
}
"""The returns of the toy task by variant and window, from the code of the authors' figure."""


def lengths(
    usual: Words,
    claims: Mapping[str, Mapping[int, float]],
    lengths: Sequence[int],
    cell: str,
    sizes: tuple[int, int],
    batch: int,
    steps: int,
    seeds: int,
) -> list[Case]:
    """Every variant with every window, after `steps` steps; `batch` is the number of steps of a gradient step."""

    def case(variant: str, length: int) -> Case:
        words = usual | VARIANTS[variant] | _sizes(cell, sizes, length, batch, steps) | Words(seeds=seeds)
        training = configured(updates=steps, rows=20, **words)
        measure = evaluation(training, metrics(EPISODES))
        return Case(f"{length}: {variant}", measure, claims.get(variant, {}).get(length))

    return [case(variant, length) for variant in VARIANTS for length in lengths]


def _sizes(cell: str, sizes: tuple[int, int], length: int, batch: int, steps: int) -> Words:
    """The arguments that depend on the scale; a gradient step has `batch` steps in windows of `length`."""
    first, second = sizes
    begins = min(4 * STEPS, steps // 2)
    words = Words(cell=cell, first_size=first, second_size=second, buffer_size=min(max(steps, 2 * STEPS), 100_000))
    return words | Words(sequence_length=length, batch_size=batch // length, learning_starts=begins)


COPIED = Words(optimizer="adam(1e-3)", policy_optimizer="adam(1e-4)", target_rate=1.0, target_period=1000)
DDPG = ONE | COPIED | Words(algorithm="ddpg", exploration=NOISE, gamma=1.0, within_episodes=True)
TRPO = Words(algorithm="trpo", gamma=1.0, max_kl=0.01, num_envs=40, window=STEPS, seed=SEED)
TIMES, MORE = 10, 20
"""The evaluations of a curve, and how many times as many samples TRPO has."""


def curves(
    ours: Words, cell: str, memory: int, sizes: tuple[int, int], batch: int, steps: int, seeds: int, times: int
) -> list[Case]:
    """Deep memory states with windows of an episode, and agents with and without memory; `memory` is its size."""
    first, second = sizes
    env, (fed, layers) = ours["env"], (f"Chain(MLP({first}, layers=1), MLP({second}, layers=1))", "MLP(32, layers=2)")
    shown = f"MemoryStates({env}, {memory})"
    replay = Words(buffer_size=max(steps, 2 * STEPS), learning_starts=min(4 * STEPS, steps // 2))
    single = DDPG | replay | Words(sequence_length=1, batch_size=batch, cell=fed, critic_size=second)
    whole = DDPG | replay | Words(sequence_length=STEPS - 1, batch_size=max(1, batch // STEPS), critic_size=min(first, 100))
    rivals: dict[str, tuple[Words, int]] = {
        "memory states": (ours | _sizes(cell, sizes, STEPS - 1, batch, steps), steps),
        "DDPG": (single | Words(env=env), steps),
        "DDPG with memory states": (single | Words(env=shown), steps),
        "recurrent DDPG": (whole | Words(env=env, cell=f"LSTM({memory})"), steps),
        "TRPO": (TRPO | Words(env=env, cell=layers), MORE * steps),
        "TRPO with memory states": (TRPO | Words(env=shown, cell=layers), MORE * steps),
        "recurrent TRPO": (TRPO | Words(env=env, cell="LSTM(32)"), MORE * steps),
    }

    def case(name: str, words: Words, steps: int) -> Case:
        updates = max(times, steps // (words["num_envs"] * words["window"]))
        training = configured(updates=updates, rows=20, seeds=seeds, **words)
        return Case(name, evaluation(training, metrics(EPISODES), times))

    return [case(name, *each) for name, each in rivals.items()]


ACTOR = Words(env="HighLow(25)", num_envs=8, gamma=1.0, seed=SEED)
PATHS: Mapping[str, Words] = {
    "A2C, RTRL": {"estimator": "RTRL()"},
    "A2C, UORO": {"estimator": "UORO()"},
    "A2C, truncated": {"estimator": "BPTT()"},
}


def crossing(
    length: int, units: int, sizes: tuple[int, int], batch: int, steps: int, seconds: float | None, seeds: int
) -> list[Case]:
    """Ways past the end of a window of `length` steps, after as many steps, or after `seconds` on this machine."""

    def case(name: str, words: Words) -> Case:
        updates = steps // (words["num_envs"] * words["window"])
        if seconds is None:
            return Case(name, evaluation(configured(updates=updates, rows=50, seeds=seeds, **words), metrics(EPISODES)))
        timed = configured(updates=updates, log_every=100, seeds=seeds, **words)
        return Case(name, evaluation_after(timed, seconds, metrics(EPISODES)))

    on_policy = ACTOR | Words(algorithm="policy-gradient", psi="GAE(0.95)", window=length, cell=f"RTU({units})")
    on_policy |= Words(optimizer="chain(clip_by_global_norm(0.5), adam(3e-3))", entropy_coef=0.0)
    ours = TOY | _sizes(LSTM.format(units), sizes, length, batch, steps)
    return [case("dQ/dw", ours), *(case(name, on_policy | words) for name, words in PATHS.items())]


# fmt: off
LENGTHS = (1, 5, 10, 15, 20, 25)
OF_TOY = {"optimum": HighLow().optimum, "memoryless": HighLow().memoryless}
OF_TARGET = {"optimum": Target().optimum, "best by the clock": 20.8}
EFFORT = {"sizes": ((8, 8), (400, 300), (400, 300)), "seeds": (1, 5, 5)}

ITEMS = [
    Item("memory-states/toy-length", "The toy task by the length of a window (fig. 4b)",
        "HighLow: the sign of the first of 25 observations decides the reward of the last action. The return of the "
        "policy without noise after 3,000 steps. Columns: the steps of a window. Rows: deep memory states, and without the "
        "stored memory at the beginning of a window, without the memory in the critic, and without both, which is "
        "truncated backpropagation. In parentheses: the authors' numbers.",
        partial(lengths, TOY, CLAIMS),
        {"cell": (LSTM.format(2), LSTM.format(15), LSTM.format(15)), "lengths": ((1, 5), LENGTHS, LENGTHS),
         "batch": (20, 100, 1000), "steps": (80, 3_000, 3_000), **EFFORT},
        minutes=(1, 50, 600), metric=RETURN, levels=OF_TOY,
        smoke=(0, 7), across=draw_grid),
    Item("memory-states/target-length", "2D target by the length of a window (fig. 4a)",
        "Target: the first of 25 observations shows where to go. The return of the policy without noise after 40,000 steps "
        "with a GRU of 32 units and layers of 128 (at the scale of the paper: 100,000 steps, and 100, 400 and 300 units). "
        "Columns and rows as above. As in the authors' code, the Bellman error alone trains the memory, so that it stays "
        "as it was initialised where the critic does not see it.",
        partial(lengths, TARGET, {}), {"lengths": ((1, 5), LENGTHS, LENGTHS), "cell": ("GRU(4)", "GRU(32)", "GRU(100)"),
         "batch": (20, 100, 100), "steps": (80, 40_000, 100_000), **EFFORT, "sizes": ((8, 8), (128, 128), (400, 300))},
        minutes=(1, 200, 2000), metric=RETURN, levels=OF_TARGET,
        smoke=(0, 7), across=draw_grid),
    *(
        Item(f"memory-states/{name}-curves", f"{title} (fig. {figure})",
            "The return of the policy without noise, over ten stages of training. Windows of deep memory states are whole "
            f"episodes. TRPO has {MORE} times as many steps, as in the paper. {text}",
            partial(curves, words), EFFORT | {"times": (1, TIMES, TIMES)} | presets,
            minutes=(1, 60, minutes), metric=RETURN, levels=levels, smoke=(0, 2, 5))
        for name, title, figure, text, words, levels, minutes, presets in (
            ("toy", "The toy task", 2, "A gradient step has 200 steps, as in the authors' code for this figure.",
             BELLMAN | Words(env="HighLow(25)"), OF_TOY, 60,
             {"cell": (LSTM.format(4), LSTM.format(50), LSTM.format(50)), "memory": (4, 100, 100),
              "batch": (52, 200, 200), "steps": (80, 10_000, 10_000)}),
            ("target", "2D target", 3, "A GRU has 32 units and layers 128 (at the paper's scale: 100, and 400 or 300).",
             TARGET, OF_TARGET, 2000,
             {"cell": ("GRU(4)", "GRU(32)", "GRU(100)"), "memory": (4, 32, 100), "sizes": ((8, 8), (128, 128), (400, 300)),
              "batch": (52, 100, 100), "steps": (80, 40_000, 100_000)}),
        )
    ),
    *(
        Item(f"memory-states/crossing{suffix}", f"Past the end of a window, at equal {equal}",
            f"HighLow with windows of 5 steps, after {text}. Deep memory states learn from a replay by ∂Q/∂w; the others "
            "act in 8 environments and carry a trace from window to window, or none. Not in the paper.",
            crossing,
            {"length": (5, 5, 5), "units": (2, 15, 15), "batch": (20, 100, 1000), "steps": (80, steps, steps),
             "seconds": seconds, **EFFORT},
            minutes=(1, minutes, 10 * minutes), metric=RETURN, levels=OF_TOY, smoke=(0,))
        for suffix, equal, text, steps, seconds, minutes in (
            ("", "steps", "10,000 steps", 10_000, (None, None, None), 30),
            ("-time", "time", "five minutes of all seeds together", 10_000_000, (0.1, 300.0, 300.0), 25),
        )
    ),
]
