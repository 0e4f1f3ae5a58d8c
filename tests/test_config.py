"""Configurations: their checks, their files, and what does not recompile."""

import dataclasses
import json
import os
import subprocess
import sys
import tomllib

import jax
import pytest
from small_runs import config as small
from small_runs import rows

from farback import Config, InputError, configure, run_config
from farback.cli.entry import parse
from farback.runs.algorithms import ALGORITHMS, arguments, canonical
from farback.runs.config import read_config
from farback.runs.optimizers import OptimizerExpression, with_learning_rate

REQUIRED = {
    "supervised": {"task": "Recall(3)"},
    "segmentwise-artbp": {"task": "Recall(3)"},
    "memup": {"data": "RandomEpisodes(TMaze(3))"},
}


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def required(algorithm):
    return REQUIRED.get(algorithm, {"env": "TMaze(3)"})


class TestChecks:
    """Wrong arguments are refused in one line, before anything is built."""

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_each_algorithm_has_defaults(self, algorithm):
        made = configure(algorithm, **required(algorithm))
        assert Config(made.algorithm, made.arguments) == made
        for name, argument in arguments(algorithm).items():
            if argument.default is not dataclasses.MISSING:
                assert canonical(name, argument.default, argument) == argument.default, "a default has its one spelling"
        assert made.record == {"algorithm": algorithm, **required(algorithm), "seed": 0, "seeds": 1}

    @pytest.mark.parametrize(
        ("algorithm", "words", "message"),
        [
            ("pop", {}, "There is no algorithm 'pop'. Did you mean 'ppo'?"),
            ("ppo", {}, "ppo requires env: give env"),
            ("supervised", {}, "supervised requires task"),
            ("memup", {}, "memup requires data"),
            ("ppo", {"env": "TMaze(3)", "num_env": 4}, "ppo has no argument 'num_env'. Did you mean 'num_envs'?"),
            ("ppo", {"env": "TMaze(3)", "num_envs": 2.5}, "num_envs = 2.5: give a whole number"),
            ("ppo", {"env": "TMaze(3)", "num_envs": "4"}, "num_envs = '4': give a whole number"),
            ("ppo", {"env": "TMaze(3)", "num_envs": True}, "num_envs = True: give a whole number"),
            ("ppo", {"env": "TMaze(3)", "num_envs": None}, "num_envs = None: give a whole number"),
            ("ppo", {"env": "TMaze(3)", "clip_eps": "GRU(3)"}, "clip_eps = 'GRU(3)': give a number"),
            ("ppo", {"env": "TMaze(3)", "clip_eps": [0.1]}, "clip_eps = [0.1]: give a number"),
            ("ppo", {"env": "TMaze(3)", "shared_memory": 1}, "shared_memory = 1: give True or False"),
            ("ppo", {"env": "TMaze(3)", "cell": 64}, "cell = 64: give an expression, such as GRU(64)"),
            ("ppo", {"env": "TMaze(3)", "optimizer": 1e-3}, "optimizer = 0.001: give an expression, such as adam(0.003)"),
            ("ppo", {"env": 3}, "env = 3: give an expression"),
            (
                "ppo",
                {
                    "env": "TMaze(3",
                },
                "is not a constructor expression",
            ),
            ("ppo", {"env": "TMaze(3)", "seeds": 0}, "seeds = 0: give 1 to"),
        ],
    )
    def test_a_wrong_configuration_is_refused(self, algorithm, words, message):
        with pytest.raises(InputError) as caught:
            configure(algorithm, **words)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("algorithm", "words", "message"),
        [
            ("ppo", {"estimator": "GRU(3)"}, "'GRU(3)' is not of the kind Estimator: give one of"),
            ("ppo", {"cell": "RTRL()"}, "'RTRL()' is not of the kind Cell"),
            ("ppo", {"env": "Recall(3)"}, "'Recall(3)' is not of the kind Env"),
            ("ppo", {"encoder": "GRU(3)"}, "'GRU(3)' is not of the kind Encoder"),
            ("ppo", {"gamma": "GAE(0.9)"}, "is not of the kind LinearSchedule"),
            ("ppo", {"gamma": 1.5}, "a discount lies between 0 and 1"),
            ("ppo", {"gamma": "LinearSchedule(0.5, 2, 10)"}, "a discount lies between 0 and 1"),
            ("policy-gradient", {"psi": "PPO()"}, "is not of the kind Psi"),
            ("segmentwise-artbp", {"estimator": "RTRL()"}, "estimator = RTRL(): give an expression of the kind ARTBP"),
            ("memup", {"selector": "PredictionErrorDetector()"}, "is not of the kind TargetSelector"),
            ("memup", {"data": "TMaze(3)"}, "'TMaze(3)' is not of the kind EpisodeSource"),
        ],
    )
    def test_an_expression_of_another_kind_is_refused(self, algorithm, words, message):
        with pytest.raises(InputError) as caught:
            configure(algorithm, **(required(algorithm) | words)).build()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_an_expression_has_one_spelling(self):
        one, other = (configure("ppo", env=text) for text in ("TMaze(3)", " TMaze( 3 ) "))
        assert one == other
        assert one.name == other.name
        assert one.replace(gamma=1).arguments["gamma"] == 1.0
        assert one.replace(total_steps=5, window=3).arguments["window"] == 3


class TestFiles:
    """`--config` and `--print-config`."""

    def command(self, *words):
        return parse(["train", *words])

    def written(self, path, *words, capsys):
        self.command(*words, "--print-config").run()
        path.write_text(capsys.readouterr().out)
        return path

    def test_a_printed_configuration_is_read_back(self, tmp_path, capsys):
        words = ("ppo", "--env", "TMaze(9)", "--memory", "Pretrained('runs/a', \"memory\")", "--num-envs", "8", "--gamma",
                 "LinearSchedule(0.5, 0.99, 10)", "--learning-rate", "1e-4", "--seeds", "2", "--total-steps", "1e6",
                 "--dir", "runs/b c", "--on-nan", "restore", "--shared-memory", "--sequence-length", "16")  # fmt: skip
        path = self.written(tmp_path / "f.toml", *words, capsys=capsys)
        read = self.command("--config", str(path))
        assert read.configuration() == self.command(*words).configuration()
        assert read.configuration().total_steps == 1_000_000
        assert (str(read.dir), read.on_nan, read.shared_memory) == ("runs/b c", "restore", True)
        assert read.configuration().arguments["optimizer"] == "adam(0.0001)"
        again = tomllib.loads(path.read_text())
        assert self.written(tmp_path / "g.toml", "--config", str(path), capsys=capsys).read_text() == path.read_text()
        assert again["gamma"] == "LinearSchedule(0.5, 0.99, 10)"

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_the_defaults_of_each_algorithm_are_read_back(self, algorithm, tmp_path, capsys):
        words = [part for name, text in required(algorithm).items() for part in (f"--{name}", text)]
        path = self.written(tmp_path / "f.toml", algorithm, *words, capsys=capsys)
        assert self.command("--config", str(path)).configuration() == configure(algorithm, **required(algorithm))

    def test_flags_override_a_file(self, tmp_path):
        path = tmp_path / "f.toml"
        path.write_text("env = 'TMaze(9)'\nnum-envs = 8\ntotal_steps = 1e5\nlearning_rate = 1e-3\nshared_memory = true\n")
        made = self.command("ppo", "--config", str(path), "--num-envs", "4", "--no-shared-memory").configuration()
        assert (made.arguments["num_envs"], made.arguments["shared_memory"]) == (4, False)
        assert (made.arguments["env"], made.total_steps) == ("TMaze(9)", 100_000)
        assert made.arguments["optimizer"] == "adam(0.001)"
        assert self.command("ppo", f"--config={path}", "--env", "TMaze(5)").configuration().arguments["env"] == "TMaze(5)"

    @pytest.mark.parametrize(
        ("text", "words", "message"),
        [
            ("algorithm = 'ppo'\nnum_env = 3", (), "ppo has no flag 'num_env'. Did you mean 'num_envs'?"),
            ("algorithm = 'ppo'\ntask = 'Recall(3)'", (), "ppo has no flag 'task'"),
            ("algorithm = 'pop'", (), "There is no algorithm 'pop'. Did you mean 'ppo'?"),
            ("env = 'TMaze(3)'", (), "has no algorithm: give one, as in farback train ppo --config"),
            ("algorithm = 'trpo'", ("ppo",), "is for trpo, not ppo"),
            ("env = 3", ("ppo",), "env = 3: give an expression"),
            ("num_envs = 'many'", ("ppo",), "num_envs = 'many': give a whole number"),
            ("num_envs = 2.5", ("ppo",), "num_envs = 2.5: give a whole number"),
            ("seeds = '2'", ("ppo",), "seeds = '2': give a whole number"),
            ("seeds = true", ("ppo",), "seeds = True: give a whole number"),
            ("save_every = 'often'", ("ppo",), "save_every = 'often': give a number"),
            ("[env]\nname = 3", ("ppo",), "env = {'name': 3}: give an expression of the kind Env"),
            ("env = ", ("ppo",), "is not TOML"),
        ],
    )
    def test_a_wrong_file_is_refused(self, text, words, message, tmp_path):
        path = tmp_path / "f.toml"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            self.command(*words, "--config", str(path))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("flag", ["--total-steps", "--seeds", "--num-envs", "--window"])
    @pytest.mark.parametrize(("text", "value"), [("200_000", 200_000), ("1e6", 10**6), ("2.5e3", 2500), ("7", 7)])
    def test_a_whole_number_may_have_an_exponent(self, flag, text, value):
        command = self.command("ppo", "--env", "TMaze(3)", flag, text)
        assert getattr(command, flag[2:].replace("-", "_")) == value

    @pytest.mark.parametrize("text", ["1.5", "1e-3", "many", "nan", "inf"])
    def test_another_number_is_not_whole(self, text):
        with pytest.raises(SystemExit, match="2"):
            self.command("ppo", "--env", "TMaze(3)", "--num-envs", text)


class TestLearningRate:
    """`--learning-rate`."""

    @pytest.mark.parametrize(
        ("text", "rate", "expected"),
        [
            ("adam(3e-3)", "1e-4", "adam(0.0001)"),
            ("adam(learning_rate=3e-3, b1=0.5)", "1", "adam(1.0, b1=0.5)"),
            ("sgd(0.1, 0.9)", "0.2", "sgd(0.2, momentum=0.9)"),
            ("chain(clip(1.0), adam(3e-3))", "0.1", "chain(clip(1.0), adam(0.1))"),
            (
                "chain(clip(1.0), chain(adam(3e-3), halve_on_plateau(5)))",
                "0.1",
                "chain(clip(1.0), chain(adam(0.1), halve_on_plateau(5)))",
            ),
            ("adam(3e-3)", "linear_schedule(1e-3, 0.0, 10)", "adam(linear_schedule(0.001, 0.0, 10))"),
            ("adam(linear_schedule(1e-3, 0.0, 10))", "0.1", "adam(0.1)"),
            ("adam(0.1)", "0.1", "adam(0.1)"),
        ],
    )
    def test_the_learning_rate_is_replaced(self, text, rate, expected):
        found = with_learning_rate(text, rate)
        assert found == expected
        OptimizerExpression(found)

    @pytest.mark.parametrize(
        ("text", "rate", "message"),
        [
            ("clip(1.0)", "0.1", "has no learning rate to change"),
            ("chain(clip(1.0), add_decayed_weights(0.1))", "0.1", "has no learning rate to change"),
            ("adan(0.1)", "0.1", "Did you mean 'adam'"),
            ("adam(0.1)", "fast(", "not a constructor expression"),
        ],
    )
    def test_a_wrong_learning_rate_is_refused(self, text, rate, message):
        with pytest.raises(InputError, match=message):
            with_learning_rate(text, rate)

    def test_a_schedule_is_logged(self, tmp_path):
        made = small("BPTT()", optimizer="sgd(linear_schedule(1.0, 0.0, 10))", log_every=1, total_steps=20)
        run_config(made, tmp_path)
        assert [row["charts/learning_rate"] for row in rows(tmp_path)] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])


CHAIN = "chain(clip_by_global_norm({0}), adam({0}))"
PPO = {"env": "TMaze(3)", "cell": "GRU(3)", "num_envs": 4, "window": 4}


def lowered(algorithm, **words):
    """The text of the compiled program, which is the key of the compilation cache."""
    program = configure(algorithm, **words).program()
    return jax.jit(program._all).lower(program._data, program.like, 0, 0).as_text()


@pytest.mark.parametrize(
    ("algorithm", "words", "changes"),
    [
        ("ppo", PPO, {"optimizer": "adam(1e-2)", "seed": 7, "gamma": 0.9, "clip_eps": 0.1, "entropy_coef": 0.5}),
        ("ppo", PPO | {"gamma": "LinearSchedule(0.5, 0.9, 10)"}, {"gamma": "LinearSchedule(0.6, 0.8, 10)"}),
        ("ppo", PPO | {"optimizer": CHAIN.format(1.0)}, {"optimizer": CHAIN.format(2.0)}),
        ("trpo", PPO, {"max_kl": 0.1}),
        ("supervised", {"task": "Recall(3)", "cell": "GRU(3)"}, {"optimizer": "adam(1e-2)"}),
        ("memup", {"data": "RandomEpisodes(TMaze(3))", "cell": "LSTM(3)", "window": 1}, {"optimizer": "adam(1e-2)"}),
    ],
)  # fmt: skip
def test_another_hyperparameter_does_not_recompile(algorithm, words, changes):
    assert lowered(algorithm, **words) == lowered(algorithm, **(words | changes))


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"cell": "GRU(4)"}, {"env": "TMaze(4)"}, {"optimizer": "sgd(1e-2)"}])
@pytest.mark.slow
def test_control_another_structure_recompiles(changes):
    assert lowered("ppo", **PPO) != lowered("ppo", **(PPO | changes))


@pytest.mark.slow
def test_another_learning_rate_compiles_nothing_in_a_new_process(tmp_path):
    """Counts the files of the persistent compilation cache."""

    def train(directory, *words):
        command = (sys.executable, "-m", "farback", "train", "supervised", "--task", "Recall(2)", "--cell", "GRU(3)")
        sizes = ("--batch-size", "2", "--window", "3", "--total-steps", "12", "--dir", str(tmp_path / directory))
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run([*command, *sizes, *words], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return {path.name for path in (tmp_path / "cache").iterdir() if path.name.endswith("-cache")}

    first = train("one", "--learning-rate", "1e-2")
    assert train("two", "--learning-rate", "1e-3", "--seed", "3") == first
    assert train("three", "--cell", "GRU(4)") > first
    assert json.loads((tmp_path / "one" / "config.json").read_text())["farback"] == 2
    assert read_config(tmp_path / "two").arguments["optimizer"] == "adam(0.001)"


@pytest.mark.parametrize("algorithm", ["tabular-q", "cma-es"])
def test_devices_of_an_algorithm_without_an_estimator_divide_the_seeds(algorithm, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    config = configure(algorithm, env="Ladder(3)", seeds=3)
    with pytest.raises(InputError, match="devices = 2 does not divide seeds = 3: give a divisor"):
        config.program(2)
