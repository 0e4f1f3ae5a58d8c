"""MemUP in T-mazes: the selection of targets, distractors, and policies with a pretrained memory."""

from collections.abc import Mapping, Sequence

from farback.papers.engine import runs
from farback.papers.engine.finals import below
from farback.papers.engine.item import Case
from farback.papers.engine.runs import Words
from farback.papers.memup.stages import EPISODES, Stage, in_stages
from farback.runs.config import configure

ERROR, PREDICTED = "charts/last_prediction_error", 0.1**2
"""The squared error at the last step, and the level below which the reward there is predicted."""
SELECTORS = {"MemUP": "TopK()", "Rnd-Pred": "RandomK()", "Default": "TopK(0)"}
POLICY = Words(estimator="BPTT()", optimizer=runs.clipped_adam(1e-3, 0.5), epochs=4, minibatches=4, shared_memory=True)
ALL, LONG = (1, 10, 100, 1000), (10, 100)
RIVALS = {"LSTM": ("LSTM(64)", ALL), "AMRL": ("AMRL(64)", ALL), "transformer": ("GTrXL(64, memory={}, layers=2)", LONG)}
"""Memories that are trained with the policy, and their windows."""


def maze(corridor: int, extra: str = "extra=10") -> str:
    """The T-maze LNR, with the previous action and reward."""
    return f"PreviousActionReward(TMaze({corridor}, {extra}))"


def memory(env: str, batch: int, units: int, rate: float = 5e-4, falls: int = 0, window: int = 1) -> Words:
    """A memory that is trained on episodes of random actions, behind a layer of 64 units; `rate` is that of Adam."""
    cell, optimizer = f"Chain(MLP(64, layers=1), LSTM({units}))", runs.clipped_adam(rate, falls=falls)
    words = Words(algorithm="memup", data=f"RandomEpisodes({env})", estimator="BPTT()", batch_size=batch)
    return words | Words(window=window, cell=cell, optimizer=optimizer)


def ablation(batches: Mapping[int, Mapping[int, int]], units: int, seeds: int, updates: int, steps: int) -> list[Case]:
    """Each selector with each window: `updates` for each step of a corridor, or fewer so that episodes have at most `steps`
    steps in all. `batches` are by corridor and window: a long window makes few updates per episode, with a smaller batch.
    """

    def case(way: str, corridor: int, window: int, batch: int) -> Case:
        passes = min(updates * corridor // -(-(corridor + 10) // window), steps // (batch * (corridor + 10)))
        words = memory(maze(corridor), batch, units, 1e-3, window=window)
        training = runs.configured(updates=passes, rows=100, **words, selector=SELECTORS[way], seeds=seeds)
        return Case(f"{window}: {way}, {corridor:,} steps", runs.evaluation(training, runs.metrics(100)))

    grids = [(way, corridor, by_window) for corridor, by_window in batches.items() for way in SELECTORS]
    return [case(way, corridor, *each) for way, corridor, by_window in grids for each in by_window.items()]


def distractors(
    counts: Sequence[int], targets: Sequence[int], units: int, batch: int, seeds: int, updates: int, rate: float
) -> list[Case]:
    """Targets against distractors, in corridors of 100, until all seeds predict the predictable reward.

    The detector scores outcomes by how much they vary given the step alone: the predictable reward is a target as often
    after it is learnt as before. As in the paper, current outcomes are not predicted. In a pass, each random reward is a
    target at many steps and would be memorised; large batches prevent that.
    """
    words = Words(detector="QuantileSpreadDetector()", predict_current=False, seeds=seeds)
    passes = -(-updates // 100)

    def case(count: int, target: int) -> Case:
        usual = memory(maze(100, f"distractors={count}"), batch, units, rate, updates)
        training = runs.configured(updates=passes, rows=100, **usual, **words, selector=f"TopK({target}, temperature=0.25)")
        measure = runs.log_until(training, below(ERROR, PREDICTED), every=4)
        return Case(f"{count}: {target} target{'s' if target > 1 else ''}", measure)

    return [case(count, target) for count in counts for target in targets]


def solved(
    corridor: int, window: int, units: int, batch: int, seeds: int, passes: int, copies: int, rollouts: int
) -> list[Case]:
    """A memory, and then a policy of two layers that reads it; each seed has its own memory. A rollout is one episode."""
    windows, episode = -(-(corridor + 10) // window), corridor + 11
    words = memory(maze(corridor), batch, units, 1e-3, passes * windows, window)
    first = configure(**words, log_every=max(1, passes // 100))
    sizes = {"sequence_length": 1, "num_envs": copies, "window": episode, "log_every": 1}
    second = configure("ppo", env=maze(corridor), cell="MLP(64, layers=2)", **POLICY | sizes)
    stages = (
        Stage("memory", first, passes * batch * windows * window),
        Stage("policy", second, rollouts * copies * episode, {"memory": "Pretrained({memory})"}),
    )
    return [in_stages(f"MemUP and PPO, window {window}", stages, range(seeds))]


def mazes(rivals: Sequence[str], **maze_of: int) -> list[Case]:
    """MemUP with a policy, and memories that are trained with it in windows of r steps, on as many steps as MemUP's."""
    steps = maze_of["passes"] * maze_of["batch"] * (maze_of["corridor"] + 10)
    sizes = Words(env=maze(maze_of["corridor"]), num_envs=32, seeds=maze_of["seeds"])

    def case(name: str, cell: str, r: int) -> Case:
        words = POLICY | {"cell": f"Chain(MLP(64, layers=1), {cell.format(r)})", "estimator": f"TBPTT({r})"}
        training = runs.configured("ppo", -(-steps // (32 * max(r, 100))), **words, **sizes, window=max(r, 100))
        return Case(f"PPO, {name}, window {r}", runs.evaluation(training, runs.metrics(EPISODES)))

    return solved(**maze_of) + [case(name, RIVALS[name][0], r) for name in rivals for r in RIVALS[name][1]]
