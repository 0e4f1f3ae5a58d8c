"""MemUP in Two-Colors: a colour that was shown at first says for the rest of the episode which things to take."""

from typing import NamedTuple

from farback.papers.engine import runs
from farback.papers.engine.item import Case
from farback.papers.engine.runs import Words
from farback.papers.memup.stages import Stage, in_stages
from farback.runs.config import configure

SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
PICTURES = "Conv(stride=(4, 2), features=64)"
RIVALS = {"LSTM": (8, 128), "AMRL": (8,)}
"""Memories that are trained with the policy, and the steps that gradients pass through."""
COPIES, WINDOW = 64, 128
PPO = Words(num_envs=COPIES, window=WINDOW, epochs=3, minibatches=8, shared_memory=True, entropy_coef=0.01)
PPO_OPTIMIZER, QR_OPTIMIZER = runs.clipped_adam(1e-3, 0.5), runs.clipped_adam(5e-4, 10.0)
QR_DQN = Words(
    num_envs=32,
    window=8,
    gradient_steps=8,
    batch_size=64,
    sequence_length=1,
    buffer_size=100_000,
    learning_starts=5_000,
    value_rescaling=True,
    n_step=3,
    dueling=True,
)


class Effort(NamedTuple):
    """How much is trained.

    - `units`: the units of memories and policies.
    - `passes`, `batch`, `steps`: the passes of MemUP, their episodes, and the steps after which these are cut off.
    - `acted`, `replayed`: the steps of PPO, and of QR-DQN.
    - `quantiles`: the quantiles of QR-DQN.
    - `seeds`, `episodes`: the seeds, and the episodes that score a policy.
    """

    units: int
    passes: int
    batch: int
    steps: int
    acted: int
    replayed: int
    quantiles: int
    seeds: int
    episodes: int


def colors(world: str, effort: Effort) -> list[Case]:
    """MemUP with two policies and two detectors. PPO trains the memory of the rivals, on as many steps as MemUP and PPO.

    **Arguments:**

    - `world`: the environment, as an expression.
    """
    seeds = range(SEED, SEED + effort.seeds)
    first = Words(data=f"RandomEpisodes({world}, {effort.steps}, 0.8)", estimator="BPTT()", window=1)
    first |= {"cell": f"LSTM({effort.units})", "selector": "TopK(3)", "batch_size": effort.batch}
    memory = configure(
        "memup", **first, encoder=PICTURES, optimizer=runs.clipped_adam(1e-3), log_every=max(1, effort.passes // 100)
    )
    remembered = effort.passes * effort.batch * effort.steps
    ppo, qr_dqn = PPO | Words(optimizer=PPO_OPTIMIZER), QR_DQN | Words(optimizer=QR_OPTIMIZER, quantiles=effort.quantiles)

    def stage(name: str, algorithm: str, words: Words, steps: int, **reads: str) -> Stage:
        reader, every = f"MLP({effort.units}, layers=1)", max(1, steps // (100 * 256))
        config = configure(algorithm, **words, env=world, encoder=PICTURES, cell=reader, log_every=every)
        return Stage(name, config, steps, reads)

    surprised = Stage("memory", memory, remembered)
    acting = stage("policy", "ppo", ppo, effort.acted, memory="Pretrained({memory})")
    replaying = stage("policy", "dqn", qr_dqn, effort.replayed, memory="Pretrained({memory})")
    expecting = stage("returns", "dqn", qr_dqn, effort.replayed)
    spread = surprised._replace(reads={"detector": "ReturnSpreadDetector(Pretrained({returns}, 'network'))"})
    ways = {
        "MemUP and PPO": (surprised, acting),
        "MemUP and QR-DQN": (surprised._replace(case="MemUP and PPO"), replaying),
        "MemUP by the returns of QR-DQN, and QR-DQN": (expecting, spread, replaying),
    }

    def rival(cell: str, window: int) -> Case:
        updates = max(2, (remembered + effort.acted) // (COPIES * WINDOW))
        words = PPO | Words(env=world, encoder=PICTURES, cell=f"{cell}({effort.units})", estimator=f"TBPTT({window})")
        training = runs.configured("ppo", updates, **words, optimizer=PPO_OPTIMIZER, seed=SEED, seeds=effort.seeds)
        return Case(f"PPO, {cell}, window {window}", runs.evaluation(training, runs.metrics(effort.episodes)))

    rivals = [rival(cell, window) for cell, windows in RIVALS.items() for window in windows]
    return [*(in_stages(name, stages, seeds, effort.episodes) for name, stages in ways.items()), *rivals]
