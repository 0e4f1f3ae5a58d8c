"""A small task, and MemUP on it, for several test files."""

import functools

import equinox as eqx
import optax

from farback.cells import GRU
from farback.envs.spaces import HashableSpace
from farback.estimators import BPTT
from farback.memup import (
    AbstractEpisodeSource,
    MemoryPredictor,
    MemUP,
    PredictionHead,
    PredictorNetwork,
    TaskEpisodes,
    TopK,
)
from farback.memup.algorithm import MemUPState
from farback.memup.predictor import no_context, query_size
from farback.memup.prepared_episodes import PreparedEpisodes
from farback.tasks import SignalledCopy

TASK = SignalledCopy(3, symbols=3, length=2)
EPISODES = TaskEpisodes(TASK)
STEPS = TASK.episode_length


def with_memory(data: AbstractEpisodeSource, memory, size, key, hidden=5) -> MemoryPredictor:
    """A predictor whose memory, of `size` outputs, reads the input itself."""
    features = data.observation_space.shape[0]
    head = PredictionHead(size, 0, query_size(features, data.action_space), hidden, data.output_size, key=key)
    actions = None if data.action_space is None else HashableSpace(data.action_space)
    return MemoryPredictor(eqx.nn.Identity(), memory, head, no_context(), actions)


def predictor(data: AbstractEpisodeSource, key, units=4, context=True) -> MemoryPredictor:
    """A predictor with a GRU."""
    maker = functools.partial(GRU, size=3) if context else None
    return PredictorNetwork(functools.partial(GRU, size=units), context=maker)(data, key=key)


def memup(selector=TopK(), estimator=BPTT(), data=EPISODES, optimizer=optax.sgd(0.1), **more) -> MemUP:
    """MemUP on the small task: 3 episodes per pass, in one window."""
    arguments = {"batch_size": 3, "window": data.steps} | more
    return MemUP(data, predictor, estimator, optimizer, selector=selector, **arguments)


@eqx.filter_jit
def prepared(algorithm: MemUP, network: MemoryPredictor, key, batch=2) -> tuple[MemUPState, PreparedEpisodes]:
    """The state at the beginning, and episodes with their targets."""
    return algorithm.prepare(algorithm.begin(network, key), algorithm.data.draw(batch, key), key)[:2]
