"""Bad input is refused before anything is compiled, with the argument, the reason and the remedy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from tables import CELLS, model_of, random_window, squared_error

from farback import InputError, Network, NetworkStep, ReadoutNetwork, Supervised, Window, credit_reach, diagnose
from farback.cells import GRU, Chain
from farback.estimators import BPTT, KFRTRL, RFLO, RTRL, TBPTT, UORO, SnAp
from farback.tasks import AnBn

STEP = NetworkStep(squared_error)


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("estimator", "cell", "message"),
    [
        (RFLO(), "GRU", "RFLO() cannot serve GRU"),
        (RFLO(), "LSTM", "RFLO() cannot serve LSTM"),
    ],
)
def test_an_estimator_refuses_a_cell_that_it_cannot_serve(estimator, cell, message, key):
    said = refusal(lambda: estimator.init(STEP, model_of(CELLS[cell], key), random_window(key)))
    assert message in said
    assert "UORO()" in said


def test_kf_rtrl_refuses_stacks(key):
    cell = Chain(GRU(3, 4, key=key), GRU(4, 4, key=key))
    model = Network(eqx.nn.Identity(), cell, eqx.nn.Linear(4, 2, key=key))
    assert "stack no recurrent layers" in refusal(lambda: KFRTRL().init(STEP, model, random_window(key)))


@pytest.mark.parametrize("estimator", [TBPTT(4), UORO(memory=4)], ids=str)
def test_an_estimator_refuses_a_window_that_it_cannot_cut(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    carry = estimator.init(STEP, model, window)
    said = refusal(lambda: estimator.gradient(STEP, model, carry, window, key))
    assert "6 steps" in said
    assert "pieces of 4" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: Window(w.first[0], w.inputs[0], w.targets[0]), "[batch, time]"),
        (lambda w: Window(w.first, w.inputs[:, :5], w.targets), "along the time axis"),
        (lambda w: Window(w.first, w.inputs, w.targets[:1]), "along the batch axis"),
        (lambda w: Window(w.first.astype(float), w.inputs, w.targets), "give booleans"),
        (lambda w: jax.tree.map(lambda leaf: leaf[:, :0], w), "time axis of the window is empty"),
        (lambda w: jax.tree.map(lambda leaf: leaf[:0], w), "batch axis of the window is empty"),
        (lambda w: Window(w.first, w.inputs.at[1, 2, 0].set(jnp.nan), w.targets), "[1, 2, 0]"),
        (lambda w: Window(w.first, w.inputs, w.targets.at[0, 1, 1].set(jnp.inf)), "Window.targets is NaN or infinite"),
    ],
)
def test_a_malformed_window_is_refused(change, message, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    assert message in refusal(lambda: diagnose(STEP, model, change(window), [BPTT()], key=key))


def supervised(**changes):
    usual = {"network": ReadoutNetwork(lambda size, *, key: GRU(size, 4, key=key)), "optimizer": optax.sgd(0.1)}
    return Supervised(AnBn(1, 4), **(usual | {"batch_size": 2, "window": 5} | changes))


def test_learn_checks_its_window(key):
    algorithm = supervised()
    state = algorithm.init(key)
    windows = AnBn(1, 4).windows(5, 2, key=key)
    window = next(iter(windows))
    algorithm.learn(state, window)
    broken = Window(window.first, window.inputs.at[0, 0, 0].set(jnp.nan), window.targets)
    assert "clean the data" in refusal(lambda: algorithm.learn(state, broken))
    assert "3 sequences" in refusal(lambda: algorithm.learn(state, next(iter(AnBn(1, 4).windows(5, 3, key=key)))))


def test_supervised_checks_its_network(key):
    def headless(task, *, key):
        return Network(eqx.nn.Identity(), GRU(3, 4, key=key), eqx.nn.Identity())

    assert "eqx.nn.Linear(size, 3" in refusal(lambda: supervised(network=headless).init(key))
    assert "GRU" in refusal(lambda: supervised(network=lambda task, *, key: GRU(3, 4, key=key)).init(key))
    assert "batch_size >= 1" in refusal(lambda: supervised(batch_size=0))
    assert "window >= 1" in refusal(lambda: supervised(window=0))


def test_estimators_refuse_an_empty_window(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    empty = jax.tree.map(lambda leaf: leaf[:, :0], window)
    for estimator in (BPTT(), RTRL(), UORO()):
        carry = estimator.init(STEP, model, window)
        said = refusal(lambda e=estimator, c=carry: e.gradient(STEP, model, c, empty, key))
        assert "time axis of the window is empty" in said


def test_a_task_refuses_empty_windows(key):
    assert "length >= 1" in refusal(lambda: next(AnBn(1, 4).windows(0, 2, key=key)))
    assert "batch >= 1" in refusal(lambda: next(AnBn(1, 4).windows(2, 0, key=key)))


@pytest.mark.parametrize("layer", [GRU, 3, eqx.nn.GRUCell(3, 4, key=jax.random.key(0))], ids=["class", "number", "GRUCell"])
def test_a_chain_refuses_an_argument_that_is_not_a_layer(layer):
    assert "layer" in refusal(lambda: Chain(layer))


@pytest.mark.parametrize("name", ["MinGRU", "LRU", "RTU", "NonlinearRTU", "ELSTM", "SRNN", "GTrXL", "LSTM"])
def test_each_cell_refuses_inputs_of_another_size(name, key):
    cell = CELLS[name](key)
    assert "takes 3 inputs" in refusal(lambda: cell(cell.initial(), jnp.zeros(9)))


def test_local_traces_refuse_shared_parameters(key):
    cell = GRU(3, 3, key=key)
    twice = Network(eqx.nn.Identity(), Chain(cell, cell), eqx.nn.Linear(3, 2, key=key))
    assert "shared" in refusal(lambda: SnAp().init(STEP, twice, random_window(key)))


def test_inputs_of_another_size_or_dtype_are_refused(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    wide = Window(window.first, jnp.zeros((2, 6, 9)), window.targets)
    assert "9 inputs" in refusal(lambda: diagnose(STEP, model, wide, [RTRL()], key=key))
    whole = Window(window.first, jnp.zeros((2, 6, 3), int), window.targets)
    assert "floating" in refusal(lambda: diagnose(STEP, model, whole, [SnAp()], key=key))


def test_a_diagnosis_without_information_is_refused(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    assert "draws >= 2" in refusal(lambda: diagnose(STEP, model, window, [UORO()], draws=1, key=key))
    assert "longer by 2 steps" in refusal(lambda: credit_reach(STEP, model, window, lags=6))
    free = NetworkStep(lambda output, target: (jnp.zeros(()), {}))
    assert "gradient of this window is zero" in refusal(lambda: diagnose(free, model, window, [BPTT()], key=key))
