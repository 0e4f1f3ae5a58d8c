"""A run resumes as if it had never stopped, and each seed learns as if it ran alone."""

import threading
from operator import itemgetter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import Walker, config, identical, leaves, rows, run

from farback import InputError
from farback.ops.optimizers import AbstractOptimizer, descend
from farback.runs.checkpoint import Checkpoints, facts, read, write
from farback.runs.config import read_config
from farback.runs.loop import train
from farback.runs.optimizers import OptimizerExpression
from farback.runs.program import ROWS, Program


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("estimator", ["UORO()", "RTRL()", "ARTBP(2)", "KFRTRL()", "BPTT()"])
def test_a_broken_run_equals_an_unbroken_one(estimator, tmp_path):
    whole = run(tmp_path / "whole", config(estimator))
    for updates in (1, 2, 13, 14, 40, 70):  # within a row of the log, and at its end
        broken = run(tmp_path / "broken", config(estimator), updates)
        assert broken.facts["update"] == updates
    assert identical(whole.state, broken.state)
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")
    assert [row["update"] for row in rows(tmp_path / "whole")] == list(range(3, 70, 3))


def test_more_steps_continue_the_run(tmp_path):
    whole = run(tmp_path / "whole", config(total_steps=400))
    run(tmp_path / "longer", config(total_steps=200))
    longer = run(tmp_path / "longer", config(total_steps=400, log_every=None))
    assert identical(whole.state, longer.state)
    assert rows(tmp_path / "whole") == rows(tmp_path / "longer")
    assert read_config(tmp_path / "longer").total_steps == 400


@pytest.mark.parametrize("lost", [".state.carry.trace", ".state.optimizer", ".state.key", ".sources", ".row"])
def test_control_a_state_that_lacks_anything_learns_something_else(lost, tmp_path):
    whole = run(tmp_path / "whole", config())
    run(tmp_path / "broken", config(), 31)
    path = Checkpoints(tmp_path / "broken" / "checkpoints").paths()[0]
    state = read(path, whole.program.like)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)]
    assert any(lost in name for name in names)
    spoilt = jax.tree_util.tree_map_with_path(
        lambda path, leaf: fresh(leaf) if lost in jax.tree_util.keystr(path) else leaf, state
    )
    write(path, spoilt, facts(path))
    broken = run(tmp_path / "broken", config())
    assert not identical(whole.state, broken.state) or rows(tmp_path / "whole") != rows(tmp_path / "broken")


def fresh(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(9), leaf.shape)
    return jnp.zeros_like(leaf)


def test_the_log_continues_without_gaps_or_repeats_after_a_crash(tmp_path):
    """Rows logged after the checkpoint are cut off, half of a row too."""
    whole = run(tmp_path / "whole", config())
    run(tmp_path / "died", config(), 31)
    with (tmp_path / "died" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 33, "step": 132, "seed": 5, "losses/loss": 7.0}\n{"upda')
    assert rows(tmp_path / "died")[-1]["losses/loss"] == 7.0
    died = run(tmp_path / "died", config())
    assert identical(whole.state, died.state)
    assert rows(tmp_path / "whole") == rows(tmp_path / "died")


@pytest.mark.slow
def test_many_rows_are_logged_in_any_number_of_calls(tmp_path):
    saved = run(tmp_path, config(total_steps=4 * 3 * (2 * ROWS + 5)))
    assert [row["update"] for row in rows(tmp_path)] == list(range(3, saved.facts["update"] + 1, 3))


class TestSeeds:
    """Seeds are a batch axis."""

    @pytest.mark.parametrize("estimator", ["UORO()", "BPTT()"])
    def test_each_seed_learns_what_it_would_alone(self, estimator, tmp_path):
        together = run(tmp_path / "together", config(estimator, seeds=3))
        for index, seed in enumerate((5, 6, 7)):
            alone = run(tmp_path / f"{seed}", config(estimator, seed=seed))
            one, other = leaves(together.state), leaves(alone.state)
            for name in one:
                assert np.allclose(one[name][index], other[name][0], rtol=1e-9, atol=1e-11), name
            own = [row for row in rows(tmp_path / "together") if row["seed"] == seed]
            assert [row["losses/loss"] for row in own] == pytest.approx(
                [row["losses/loss"] for row in rows(tmp_path / f"{seed}")], rel=1e-9
            )

    def test_seeds_begin_bit_for_bit_as_they_would_alone(self):
        together = config(seeds=3).program().init()
        for index, seed in enumerate((5, 6, 7)):
            alone = config(seed=seed).program().init()
            assert identical(jax.tree.map(itemgetter(slice(index, index + 1)), together), alone)

    def test_control_seeds_differ(self):
        networks = initial_networks(config(seeds=2))
        assert not jnp.allclose(networks[0], networks[1])

    @pytest.mark.parametrize(("seeds", "batch"), [(2, 3), (1, 4), (3, 4)], ids=["seeds", "batch", "batch-of-seeds"])
    @pytest.mark.slow
    def test_devices_do_not_matter(self, seeds, batch, tmp_path):
        one = run(tmp_path / "one", config(seeds=seeds, batch_size=batch))
        two = run(tmp_path / "two", config(seeds=seeds, batch_size=batch), devices=2)
        first, second = leaves(one.state), leaves(two.state)
        for name in first:
            assert np.allclose(first[name], second[name], rtol=1e-8, atol=1e-10), name

    def test_devices_that_divide_nothing_are_refused(self):
        with pytest.raises(InputError, match="divides neither seeds = 3 nor batch_size = 5"):
            config(seeds=3, batch_size=5).program(2)
        with pytest.raises(InputError, match="this machine has 2"):
            config().program(3)


def initial_networks(config):
    program = config.program()
    state = program.init()
    return [
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(program.network(state, index), eqx.is_array))])
        for index in range(config.seeds)
    ]


def test_optimizers_are_expressions():
    text = "chain(clip_by_global_norm(1.0), adam(linear_schedule(1e-2, 0.0, 10_000), b1=0.5))"
    optimizer = config(optimizer=text).build().optimizer
    assert isinstance(optimizer, AbstractOptimizer)
    assert float(optimizer.learning_rate(5_000)) == pytest.approx(5e-3)
    for bad, message in [
        ("adan(1)", "Did you mean 'adam'"),
        ("adam()", "missing a required argument"),
        ("adam('fast')", "cannot be an argument; give a number"),
        ("adam(1e-3, momentum=0.9)", "no argument 'momentum'"),
        ("linear_schedule(1.0, 0.0, 10)", "is not an optimizer"),
        ("adam(sgd(1.0))", "cannot be an argument; give a number"),
        ("chain(0.1)", "is not an optimizer"),
    ]:
        with pytest.raises(InputError, match=message):
            config(optimizer=bad).build()


def test_a_step_is_halved_where_the_loss_does_not_fall():
    """The means of two losses are 3, 2, 2 and 1."""
    optimizer = OptimizerExpression("chain(sgd(1.0), halve_on_plateau(2))")
    model, found = jnp.zeros(()), []
    state = optimizer.init(model)
    for loss in (4.0, 2.0, 2.0, 2.0, 1.0, 3.0, 1.0, 1.0):
        before = model
        model, state = descend(optimizer, model, state, jnp.ones(()), jnp.asarray(loss))
        found.append(float(before - model))
    assert found == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


def test_a_run_gives_its_optimizer_the_loss(tmp_path):
    with jax.enable_x64(False):
        done = run(tmp_path, config(optimizer="chain(sgd(1e-3), halve_on_plateau(50))"), 3)
    (total,) = (leaf for name, leaf in leaves(done.state).items() if name.endswith(".total") and "optimizer" in name)
    logged = {row["seed"]: 3 * row["losses/loss"] for row in rows(tmp_path)}
    np.testing.assert_allclose(total, list(logged.values()), rtol=1e-5)


def test_signal_handlers_stay_off_the_main_thread(tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(Program(Walker(), (5,), 10), tmp_path, 10)))
    thread.start()
    thread.join()
    assert done == [10]
