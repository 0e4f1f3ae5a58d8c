"""A value that is not finite is found, named, and never saved."""

import dataclasses

import jax
import optax
import pytest
from small_runs import Walker, config, rows, walk

from farback import InputError
from farback.runs.loop import train
from farback.runs.options import Options, StoppedError
from farback.runs.program import Program


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


class TestNaN:
    @pytest.mark.parametrize(("bad", "named"), [("parameter", r"parameter \['x'\]"), ("loss", "the loss")])
    def test_the_run_stops_and_names_the_value(self, bad, named, tmp_path):
        walk(tmp_path, Walker(bad=bad), 20)
        before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
        with pytest.raises(StoppedError, match=rf"{named} of seed 6 at update 37.*update 20 is good") as stopped:
            walk(tmp_path, Walker(bad=bad))
        assert stopped.value.code == 1
        assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before

    @pytest.mark.parametrize("needs", [1, 3])
    def test_restore_halves_the_step_of_the_seed_that_failed(self, needs, tmp_path):
        said = []
        walk(tmp_path, Walker(needs=needs), 20)
        state = walk(tmp_path, Walker(needs=needs), on_nan="restore", warn=said.append)
        assert len(said) == needs
        assert "back to update 20" in said[0]
        assert state.x[0, 0] == 100
        assert state.x[1, 0] == 20 + 80 * 0.5**needs
        found = rows(tmp_path)
        assert [(row["update"], row["seed"]) for row in found] == [
            (at, seed) for at in range(10, 101, 10) for seed in (5, 6)
        ]
        assert found[-1]["charts/x"] < found[-2]["charts/x"]

    def test_restore_stops_after_many_halvings(self, tmp_path):
        with pytest.raises(StoppedError, match="of seed 6 at update 37"):
            walk(tmp_path, Walker(needs=10_000), on_nan="restore", warn=lambda text: None)

    def test_a_state_that_is_not_finite_is_never_saved(self, tmp_path):
        """A checkpoint just before the parameters become NaN would be restored forever."""
        walk(tmp_path, Walker(bad="state"), 20)
        with pytest.raises(StoppedError, match=r"hidden of the state of seed 6 at update 37.*update 20 is good"):
            walk(tmp_path, Walker(bad="state"), 37)
        assert walk(tmp_path, Walker(bad="state"), on_nan="restore", warn=lambda text: None).x[1, 0] == 60

    def test_control_a_seed_that_stays_finite_continues(self, tmp_path):
        assert walk(tmp_path, Walker(bad_seed=7)).x[1, 0] == 100


def test_restore_needs_a_step_that_can_be_halved(tmp_path):
    plain = dataclasses.replace(config().build(), optimizer=optax.sgd(0.1))
    with pytest.raises(InputError, match=r"end its chain with halvable"):
        train(Program(plain, (0,), 10), tmp_path, 10, options=Options(on_nan="restore"))
