"""Ways to remember what was seen far outside of the window, each for the same time."""

from farback.papers.engine.item import Case, Measure, Measured, Place
from farback.papers.engine.runs import Words, clipped_adam, configured, evaluation_after, log_of_seconds, metrics
from farback.papers.memup.colors import PICTURES, PPO, PPO_OPTIMIZER
from farback.runs.config import configure
from farback.runs.directory import write_config

SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
WORLD = "TwoColors()"
ACTING = PPO | Words(algorithm="ppo", env=WORLD, encoder=PICTURES, optimizer=PPO_OPTIMIZER, log_every=1)
RANDOM_PLAY = Words(data=f"RandomEpisodes({WORLD}, 128, 0.8)", encoder=PICTURES, selector="TopK(3)", window=1)
MEMUP = RANDOM_PLAY | Words(algorithm="memup", optimizer=clipped_adam(1e-3), log_every=1)
WAYS = {
    "LSTM, 16 steps": Words(cell="LSTM({})", window=16),
    "LSTM, 256 steps": Words(cell="LSTM({})", window=256),
    "GTrXL, 256 steps": Words(cell="GTrXL({}, memory=192, layers=1)", window=64),
    "RTU by RTRL, 16 steps": Words(cell="RTU({})", window=16, estimator="RTRL()"),
}
"""Cells that PPO trains with the policy, and the steps that gradients pass through or that attention reaches."""


def past(units: int, batch: int, minutes: float, seeds: int, episodes: int) -> list[Case]:
    """MemUP and then PPO, for half of the time each, and PPO with other memories.

    **Arguments:**

    - `batch`: the episodes of a pass of MemUP.
    - `minutes`: the minutes of training for each seed.
    - `episodes`: the episodes that score a policy.
    """
    seconds, score = 60 * minutes, metrics(episodes)

    def by_memup(place: Place) -> Measured:
        rows = []
        for seed in range(SEED, SEED + seeds):
            memory, policy = (place._replace(home=place.home / f"seed-{seed}" / part) for part in ("memory", "policy"))
            words = MEMUP | Words(cell=f"LSTM({units})", batch_size=batch, seed=seed)
            memory.home.mkdir(parents=True, exist_ok=True)
            write_config(memory.home, configure(**words))
            log_of_seconds(configured(updates=1, **words), seconds / 2)(memory)
            read = Words(memory=f"Pretrained({str(memory.home)!r})", cell=f"MLP({units}, layers=1)")
            rows += evaluation_after(configured(updates=1, **ACTING, **read, seed=seed), seconds / 2, score)(policy).rows
        return Measured(rows)

    def by_ppo(words: Words) -> Measure:
        words = words | Words(cell=words["cell"].format(units), seed=SEED, seeds=seeds)
        return evaluation_after(configured(updates=1, **(ACTING | words)), seeds * seconds, score)

    return [Case("MemUP, 1 step", by_memup), *(Case(name, by_ppo(words)) for name, words in WAYS.items())]
