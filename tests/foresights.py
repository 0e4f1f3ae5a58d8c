"""A small task, and memories that are asked about it."""

import equinox as eqx
import jax
import optax

from engram import BPTT, GRU
from engram.cells.foresight import Foresight, Head
from engram.memup import Foreseeing, MemUP, Prepared
from engram.objectives.episodes import AbstractEpisodes, OfTask
from engram.objectives.surprise import Surprising
from engram.tasks import SignalledCopy

TASK = SignalledCopy(3, symbols=3, length=2)
EPISODES = OfTask(TASK)
STEPS = TASK.steps


def foresight(episodes: AbstractEpisodes, key, units=4, context=True) -> Foresight:
    keys = jax.random.split(key, 3)
    seen, asked, said = episodes.sizes
    around = GRU(asked, 3, key=keys[1]) if context else None
    return Foresight(GRU(seen, units, key=keys[0]), Head(units, 3 * context, asked, 5, said, key=keys[2]), around)


def learner(choice=Surprising(), estimator=BPTT(), episodes=EPISODES, **more) -> MemUP:
    return MemUP(episodes, estimator, optax.sgd(0.1), choice, **more)


@eqx.filter_jit
def prepared(up: MemUP, model: Foresight, key, batch=2) -> tuple[Foreseeing, Prepared]:
    return up.prepare(up.init(model, key=key), up.episodes.draw(batch, key), key)[:2]
