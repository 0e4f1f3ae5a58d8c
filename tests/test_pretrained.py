"""`Pretrained(...)`: a part of another run's network, frozen or trained further."""

import json
import shutil

import equinox as eqx
import jax
import numpy as np
import pytest
from small_runs import config as small
from small_runs import run

from farback import InputError, configure, pretrained, run_config
from farback.cells import Frozen, FrozenEncoder
from farback.encoders import MLP
from farback.envs import TMaze
from farback.runs.config import read_config
from farback.runs.run import load

pytestmark = pytest.mark.slow

MAZE = "TMaze(3)"


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def memup(**changes):
    usual = {"data": f"RandomEpisodes({MAZE})", "cell": "LSTM(3)", "window": 1, "batch_size": 2, "log_every": 1}
    return configure("memup", **(usual | {"total_steps": 40} | changes))


def ppo(**changes):
    usual = {"env": MAZE, "cell": "MLP(4)", "num_envs": 4, "window": 4, "minibatches": 2, "epochs": 1, "log_every": 1}
    return configure("ppo", **(usual | {"optimizer": "sgd(1.0)", "total_steps": 48} | changes))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of MemUP, whose memory and encoder are read."""
    with jax.numpy_dtype_promotion("standard"):
        directory = tmp_path_factory.mktemp("source") / "memory"
        run(directory, memup(encoder="MLP(5)", seeds=2))
    return directory


def arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def equal(one, other):
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def frozen_parts(network):
    def is_frozen(part):
        return isinstance(part, Frozen | FrozenEncoder)

    return [part for part in jax.tree.leaves(network, is_leaf=is_frozen) if is_frozen(part)]


def test_a_part_is_that_of_the_run(source):
    networks = load(source).networks()
    assert equal(pretrained(str(source), frozen=False), networks[0].memory)
    assert equal(pretrained(str(source), "memory", 1, False), networks[1].memory)
    assert not equal(networks[0].memory, networks[1].memory)
    encoder = pretrained(str(source), "encoder", frozen=False)
    assert isinstance(encoder, MLP)
    assert equal(encoder, networks[0].encoder)
    assert equal(pretrained(str(source)).cell, networks[0].memory)


@pytest.mark.parametrize("shared", [True, False])
def test_a_frozen_memory_and_encoder_stay_as_they_are(source, shared, tmp_path):
    words = {"encoder": f"Pretrained('{source}', 'encoder')", "memory": f"Pretrained('{source}', 'memory')"}
    network = run(tmp_path, ppo(**words, shared_memory=shared)).networks()[0]
    parts = frozen_parts(network)
    assert len(parts) == (3 if shared else 6), "the memory comes with the encoder that it was trained with"
    original = load(source).networks()[0]
    for part in parts:
        if isinstance(part, Frozen):
            assert equal(part.cell, original.memory)
        else:
            assert part.frozen is not None
    trained = arrays(network)
    untrained = arrays(ppo(**words, shared_memory=shared).program().init().state.network)
    assert any((one != other[0]).any() for one, other in zip(trained, untrained, strict=True)), "the rest is trained"


def test_a_pretrained_memory_reads_the_features_that_it_was_trained_on(source, key):
    """The policy has an encoder of its own, whose features are of the same length."""
    original = load(source).networks()[0]
    words = {"encoder": "MLP(5)", "memory": f"Pretrained('{source}')", "cell": "MLP(4)", "shared_memory": True}
    network = ppo(**words).build().init(key).network
    observation = np.array([1.0, 0.0, 0.5])
    features = network.encoder(observation)
    assert features.shape == (10,)
    read, _ = original.memory(original.memory.initial(), original.encoder(observation))
    (reader,), _ = network.memory.layers[0](network.memory.layers[0].initial(), features)
    assert equal(reader, read)
    other = MLP(TMaze(3).observation_space, 5, key=key)(observation)
    wrong, _ = original.memory(original.memory.initial(), other)
    assert not equal(reader, wrong)


@pytest.mark.slow
def test_a_part_that_is_not_frozen_is_trained_further(source, tmp_path):
    words = {"cell": f"Chain(Pretrained('{source}', 'memory', frozen=False), MLP(4))", "shared_memory": True}
    words["encoder"] = f"Pretrained('{source}', 'encoder', frozen=False)"
    start = ppo(**words).program().init().state.network
    original = load(source).networks()[0]
    assert equal(jax.tree.map(lambda leaf: leaf[0], start.encoder), original.encoder)
    network = run(tmp_path, ppo(**words)).networks()[0]
    assert not frozen_parts(network)
    for part, before in ((network.encoder, original.encoder), (network.memory.layers[0], original.memory)):
        assert not equal(part, before)


@pytest.mark.slow
def test_a_part_within_a_cell_may_be_frozen(source, tmp_path):
    words = {"cell": f"Chain(SkipConcat(Pretrained('{source}')), MLP(4))", "encoder": f"Pretrained('{source}', 'encoder')"}
    network = run(tmp_path, ppo(**words, shared_memory=True)).networks()[0]
    (memory,) = (part for part in frozen_parts(network) if isinstance(part, Frozen))
    assert equal(memory.cell, load(source).networks()[0].memory)


@pytest.mark.slow
def test_an_agent_gives_the_memory_of_its_policy(tmp_path):
    saved = run(tmp_path / "agent", ppo(cell="GRU(3)"))
    assert equal(pretrained(str(tmp_path / "agent"), frozen=False), saved.networks()[0].policy.memory)


def test_a_supervised_run_reads_a_memory(tmp_path):
    run(tmp_path / "one", small("BPTT()"), 2)
    words = {"cell": f"Pretrained('{tmp_path / 'one'}', seed=5)"}
    saved = run(tmp_path / "two", small("BPTT()", **words), 4)
    assert equal(saved.networks()[5].memory.cell, load(tmp_path / "one").networks()[5].memory)


@pytest.mark.slow
def test_a_part_that_changed_afterwards_is_refused(tmp_path):
    """The record has the digest of the arrays that were read."""
    run(tmp_path / "memory", memup())
    config = ppo(memory=f"Pretrained('{tmp_path / 'memory'}')")
    run_config(config, tmp_path / "policy")
    run_config(config.replace(total_steps=64), tmp_path / "policy")
    assert load(tmp_path / "policy").facts["record"]["data"]
    run_config(memup(total_steps=80), tmp_path / "memory")
    for use in (lambda: load(tmp_path / "policy"), lambda: run_config(config.replace(total_steps=80), tmp_path / "policy")):
        with pytest.raises(InputError, match=r"made with data = \w+, not \w+: restore .* pretrained runs") as caught:
            use()
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_control_an_unchanged_part_that_moved_back_is_accepted(tmp_path):
    run(tmp_path / "memory", memup())
    config = ppo(memory=f"Pretrained('{tmp_path / 'memory'}')")
    run_config(config, tmp_path / "policy")
    shutil.copytree(tmp_path / "memory", tmp_path / "copy")
    run_config(memup(total_steps=80), tmp_path / "memory")
    shutil.rmtree(tmp_path / "memory")
    (tmp_path / "copy").rename(tmp_path / "memory")
    assert load(tmp_path / "policy").facts["update"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"memory": "Pretrained('{source}')", "env": "CartPole()"}, "would receive observations of Box"),
        ({"cell": "Chain(MLP(7), Pretrained('{source}'))"}, r"does not fit: it would receive 7 inputs"),
        ({"encoder": "Pretrained('{source}', 'encoder')", "env": "CartPole()"}, r"would receive observations of Box"),
        ({"encoder": "Pretrained('{source}', 'memory')"}, "is not an encoder, but a Frozen: give the part 'encoder'"),
        ({"cell": "Pretrained('{source}', 'encoder')"}, "is not a cell, but a FrozenEncoder: give the part 'memory'"),
        ({"cell": "Pretrained('{source}', 'network')"}, "is not a cell, but a MemoryPredictor: give the part 'memory'"),
        ({"memory": "Pretrained('{source}', 'head')"}, "give 'memory', 'encoder' or 'network'"),
        ({"memory": "Pretrained('{source}', seed=9)"}, "has the seeds 0, 1"),
        ({"memory": "Pretrained('{source}', frozen=2)"}, "frozen = 2: give True or False"),
        ({"memory": "Pretrained()"}, "missing a required argument, 'directory'"),
        ({"memory": "Pretrained('{source}/nowhere')"}, "is not a run directory: it has no config.json"),
        ({"env": "Pretrained('{source}')"}, "There is no Env 'Pretrained'"),
    ],
)  # fmt: skip
def test_a_part_that_does_not_fit_is_refused(source, words, message, tmp_path, monkeypatch):
    """By name, in one line, before anything is compiled."""

    def compiled(*arguments):
        raise AssertionError("something was compiled")

    monkeypatch.setattr("farback.runs.program.Program.compile", compiled)
    words = {name: text.replace("{source}", str(source)) for name, text in words.items()}
    with pytest.raises(InputError, match=message) as caught:
        run_config(ppo(**words), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_detector_reads_the_network_of_another_run(source, tmp_path):
    """The memory is that of a detector with the same network in Python. The run resumes."""
    words = {"cell": "MLP(4)", "num_envs": 4, "window": 4, "quantiles": 3, "learning_starts": 8, "batch_size": 2}
    words |= {"buffer_size": 64, "sequence_length": 1, "total_steps": 64, "log_every": 1}
    run(tmp_path / "agent", configure("dqn", env=MAZE, **words))
    config = memup(detector=f"ReturnSpreadDetector(Pretrained({str(tmp_path / 'agent')!r}, 'network'))")
    read = config.build().detector.network
    assert equal(read, load(tmp_path / "agent").networks()[0])
    whole = run(tmp_path / "whole", config)
    run(tmp_path / "parts", config.replace(total_steps=8))
    assert equal(run(tmp_path / "parts", config).networks()[0], whole.networks()[0])
    assert not equal(run(tmp_path / "other", memup()).networks()[0], whole.networks()[0])
    with pytest.raises(InputError, match="network = MemoryPredictor: give an expression of the kind Network"):
        memup(detector=f"ReturnSpreadDetector(Pretrained({str(source)!r}, 'network'))").build()


def test_a_part_of_a_damaged_run_is_refused(source, tmp_path):
    shutil.copytree(source, tmp_path / "memory")
    for path in (tmp_path / "memory" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="has no whole checkpoint: train first"):
        ppo(memory=f"Pretrained('{tmp_path / 'memory'}')").build()
    stored = json.loads((source / "config.json").read_text())
    assert read_config(source).arguments["cell"] == stored["arguments"]["cell"]
