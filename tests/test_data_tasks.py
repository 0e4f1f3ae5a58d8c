"""`Text` and `Pixels`: inputs are the data, training and test parts are apart, and bad files are refused."""

import functools
import itertools
import math
import re
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from data_files import idx, story, write_mnist, write_ptb

from farback import AbstractTask, InputError, LoadedRun, ReadoutNetwork, Supervised, configure, load, run_config
from farback.cells import LSTM
from farback.cli.evaluate import Evaluate
from farback.memup import TaskEpisodes
from farback.runs.kinds import build
from farback.runs.program import Program
from farback.tasks import Pixels, Recall, Text
from farback.tasks.corpus import read_corpus
from farback.tasks.idx import read_idx

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a text, PTB's three files, and MNIST's four."""
    home = tmp_path_factory.mktemp("data")
    (home / "story.txt").write_text(story())
    write_ptb(home / "ptb", "a b a\nb <unk> c\n" * 9, "a c\nb\n" * 3, "c d\na\n" * 3)
    write_mnist(home / "mnist")
    return home


MAKE = {
    "characters": lambda home: Text(str(home / "story.txt")),
    "words": lambda home: Text(str(home / "story.txt"), "word"),
    "ptb": lambda home: Text(str(home / "ptb"), "word"),
    "digits": lambda home: Pixels(),
    "permuted": lambda home: Pixels(permuted=True, seed=3),
    "mnist": lambda home: Pixels(str(home / "mnist")),
}


@pytest.fixture(params=MAKE, scope="module")
def task(request, home):
    return MAKE[request.param](home)


@pytest.mark.parametrize("part", ["training", "test"])
def test_data_windows_are_consecutive(task, part, key):
    task = task if part == "training" else task.split(part)
    whole = next(task.windows(20, 3, key=key))
    halves = list(itertools.islice(task.windows(10, 3, key=key), 2))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *halves)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(joined), jax.tree.leaves(whole), strict=True))
    assert whole.checked() is whole
    assert whole.inputs.shape == (3, 20, task.input_size)
    assert whole.inputs.dtype == float
    assert whole.first[:, 0].all()


@pytest.mark.parametrize("wide", [False, True], ids=["x32", "x64"])
def test_data_are_stored_as_bytes(task, wide, key):
    with jax.enable_x64(wide):
        arrays = [leaf for leaf in jax.tree.leaves(task) if eqx.is_array(leaf)]
        assert {leaf.dtype for leaf in arrays} == {jnp.dtype("uint8")}
        window = next(task.windows(5, 2, key=key))
        loss, _ = task.loss(jnp.zeros(task.output_size), jax.tree.map(lambda leaf: leaf[0, 0], window.targets))
        width = 8 if wide else 4
        assert {leaf.dtype.itemsize for leaf in jax.tree.leaves((window.inputs, window.targets, loss))} == {width}


class TestText:
    """`Text` reads the symbols that were written."""

    @pytest.mark.parametrize("part", ["training", "validation", "test"])
    @pytest.mark.parametrize("unit", ["character", "word"])
    def test_text_sequences_read_on_from_their_places(self, home, unit, part, key):
        written = story() if unit == "character" else re.findall(r"\n|\S+", story())
        cuts = [0, len(written) * 9 // 10, len(written) * 19 // 20, len(written)]
        index = ["training", "validation", "test"].index(part)
        written = list(written[cuts[index] : cuts[index + 1]])
        task = Text(str(home / "story.txt"), unit)
        task = task if part == "training" else task.split(part)
        last, steps = len(written) - 1, len(written) + 7
        window = next(task.windows(steps, 3, key=key))
        for b, (first, inputs, targets) in enumerate(zip(window.first, window.inputs, window.targets, strict=True)):
            places = (b * last // 3 + np.arange(steps)) % last
            assert [task.vocabulary[k] for k in np.asarray(inputs).argmax(-1)] == [written[k] for k in places]
            assert [task.vocabulary[k] for k in np.asarray(targets)] == [written[k + 1] for k in places]
            assert (np.asarray(inputs).sum(-1) == 1).all()
            assert (np.asarray(first) == ((places == 0) | (np.arange(steps) == 0))).all()

    def test_text_episodes_differ_with_the_key(self, home, key):
        episodes = TaskEpisodes(Text(str(home / "story.txt")), 9)
        drawn = [np.asarray(episodes.draw(2, key).inputs.observation) for key in jax.random.split(key, 8)]
        assert len({one.tobytes() for one in drawn}) > 4

    def test_text_pass_reads_each_symbol_once(self, home, key):
        task = Text(str(home / "story.txt")).split()
        last = len(task.passage.symbols) - 1
        batch = next(size for size in range(2, last) if last % size == 0)
        window = next(task.windows(last // batch, batch, key=key))
        seen = np.asarray(window.inputs).argmax(-1).ravel()
        assert (seen == np.asarray(task.passage.symbols)[:-1]).all()

    def test_text_places_do_not_overflow(self, home, key):
        with jax.enable_x64(False):
            task = Text(str(home / "story.txt"))
            symbols = jnp.zeros(90_000_000, jnp.uint8)
            sources = eqx.tree_at(lambda task: task.passage.symbols, task, symbols).sources(64, key)
            assert sources.position.tolist() == [b * 89_999_999 // 64 for b in range(64)]

    def test_text_vocabulary_is_that_of_the_training_part(self, tmp_path):
        (tmp_path / "plain").write_text("ab" * 50)
        assert Text(str(tmp_path / "plain")).vocabulary == ("a", "b")
        (tmp_path / "odd").write_text("ab" * 45 + "abcde" + "abdéf")
        odd = Text(str(tmp_path / "odd"))
        assert odd.vocabulary == ("a", "b", "<unk>")
        assert odd.split("validation").passage.symbols.tolist() == [0, 1, 2, 2, 2]
        assert odd.split("test").passage.symbols.tolist() == [0, 1, 2, 2, 2]

    def test_text_reads_ptb_as_the_field_does(self, home):
        words = Text(str(home / "ptb"), "word")
        assert words.vocabulary == ("a", "b", "\n", "<unk>", "c")
        assert [words.vocabulary[k] for k in words.split().passage.symbols[:5]] == ["c", "<unk>", "\n", "a", "\n"]
        characters = read_corpus(home / "ptb", "character")
        assert "".join(characters.vocabulary[k] for k in characters.parts["validation"]) == "a c \nb \n" * 3

    def test_text_splits_text8_as_the_field_does(self, tmp_path, monkeypatch):
        monkeypatch.setattr("farback.tasks.corpus.TEXT8", 100)
        (tmp_path / "text8").write_text("x" * 90 + "y" * 5 + "z" * 5)
        assert {name: len(part) for name, part in read_corpus(tmp_path / "text8", "character").parts.items()} == {
            "training": 90,
            "validation": 5,
            "test": 5,
        }

    @pytest.mark.parametrize("make", ["characters", "words", "ptb"])
    def test_text_memoryless_loss_is_that_of_counting_pairs(self, home, make, key):
        task = MAKE[make](home)
        symbols = np.asarray(task.passage.symbols).astype(int)
        counts = np.zeros((task.input_size, task.input_size))
        np.add.at(counts, (symbols[:-1], symbols[1:]), 1)
        logits = jnp.log(jnp.asarray(counts) + 1e-300)
        window = next(task.windows(len(symbols) - 1, 1, key=key))
        loss, metrics = jax.vmap(lambda x, y: task.loss(logits[jnp.argmax(x)], y))(window.inputs[0], window.targets[0])
        assert loss.mean() == pytest.approx(task.memoryless, rel=1e-9)
        assert metrics["bits"].total.sum() / metrics["bits"].count.sum() == pytest.approx(task.memoryless / math.log(2))
        worse = jax.vmap(lambda x, y: task.loss(0.9 * logits[jnp.argmax(x)], y)[0])(window.inputs[0], window.targets[0])
        assert worse.mean() > task.memoryless


class TestPixels:
    """`Pixels` shows the images of its files."""

    def test_pixels_shows_held_out_images_in_order(self, home, key):
        files = home / "mnist"
        shades, labels = read_idx(files / "t10k-images-idx3-ubyte", 3), read_idx(files / "t10k-labels-idx1-ubyte", 1)
        window = next(Pixels(str(files)).split().windows(4 * 12 + 2, 3, key=key))
        for b in range(3):
            shown = np.asarray(window.inputs[b, :48, 0]).reshape(4, 3, 4)
            assert (np.round(shown * 255) == shades[4 * b : 4 * b + 4]).all()
            asked = np.flatnonzero(np.asarray(window.targets.weight[b]))
            assert asked.tolist() == [11, 23, 35, 47]
            assert (np.asarray(window.targets.label[b])[asked] == labels[4 * b : 4 * b + 4]).all()
            assert np.flatnonzero(window.first[b]).tolist() == [0, 12, 24, 36, 48]
        assert window.inputs[2, 48, 0] == pytest.approx(shades[0, 0, 0] / 255)

    def test_pixels_episodes_differ_with_the_key(self, home, key):
        episodes = TaskEpisodes(Pixels(str(home / "mnist")).split())
        drawn = [np.asarray(episodes.draw(3, key).inputs.observation) for key in jax.random.split(key, 8)]
        assert len({one.tobytes() for one in drawn}) > 2
        assert all(len({image.tobytes() for image in one}) == 3 for one in drawn)

    def test_pixels_draws_the_training_images(self, home, key):
        files = home / "mnist"
        shades, labels = read_idx(files / "train-images-idx3-ubyte", 3), read_idx(files / "train-labels-idx1-ubyte", 1)
        rows = {image.tobytes(): (place, labels[place]) for place, image in enumerate(shades)}
        window = next(Pixels(str(files)).windows(12 * 100, 5, key=key))
        shown = np.round(np.asarray(window.inputs) * 255).astype(np.uint8).reshape(500, 12)
        asked = np.asarray(window.targets.label).reshape(500, 12)[:, -1]
        found = [rows[image.tobytes()] for image in shown]
        assert {place for place, _ in found} == set(range(50))
        assert all(label == wanted for (_, label), wanted in zip(found, asked, strict=True))
        other = next(Pixels(str(files)).windows(12 * 100, 5, key=jax.random.key(1)))
        assert (other.inputs != window.inputs).any()

    @pytest.mark.parametrize("source", ["digits", "mnist"])
    def test_pixels_permutes_every_image_alike(self, home, source):
        path = None if source == "digits" else str(home / "mnist")
        plain, permuted = Pixels(path), Pixels(path, permuted=True, seed=1)
        images = [(plain.images, permuted.images), *zip(plain.held.values(), permuted.held.values(), strict=True)]
        order = np.random.RandomState(1).permutation(plain.pixels)
        assert sorted(order) == list(range(plain.pixels))
        assert (order != np.arange(plain.pixels)).any()
        for before, after in images:
            assert (np.asarray(before.shades)[:, order] == np.asarray(after.shades)).all()
            assert (before.labels == after.labels).all()
        assert (Pixels(path, permuted=True, seed=2).images.shades != permuted.images.shades).any()

    def test_pixels_enlarges_each_pixel_to_a_square(self, home):
        plain, large = (Pixels(str(home / "mnist"), enlarged=times) for times in (1, 3))
        whole = np.asarray(large.images.shades).reshape(-1, 9, 12)
        small = np.asarray(plain.images.shades).reshape(-1, 3, 4)
        for down, right in itertools.product(range(3), range(3)):
            np.testing.assert_array_equal(whole[:, down::3, right::3], small)
        with pytest.raises(InputError, match="enlarged=0"):
            Pixels(enlarged=0)

    def test_pixels_parts_have_no_image_in_common(self):
        task = Pixels()
        parts = [task.images, task.held["validation"], task.held["test"]]
        assert [len(part.labels) for part in parts] == [1197, 300, 300]
        seen = [{bytes(image) for image in np.asarray(part.shades)} for part in parts]
        assert sum(map(len, seen)) == len(set.union(*seen)) == 1797
        assert all(set(np.asarray(part.labels)) == set(range(10)) for part in parts)

    def test_pixels_reads_gzipped_files(self, home, tmp_path):
        packed, plain = (Pixels(str(path)) for path in (write_mnist(tmp_path / "zipped", packed=True), home / "mnist"))
        assert (packed.images.shades == plain.images.shades).all()
        assert (packed.held["test"].labels == plain.held["test"].labels).all()

    @pytest.mark.parametrize("make", ["digits", "permuted", "mnist"])
    def test_pixels_memoryless_loss_is_that_of_counting(self, home, make, key):
        task = MAKE[make](home).split()
        window = next(task.windows(len(task.images.labels) * task.pixels, 1, key=key))
        shade = jnp.round(window.inputs[0, :, 0] * task.white).astype(int)
        counts = np.zeros((256, task.output_size))
        np.add.at(counts, (np.asarray(task.images.shades[:, -1]), np.asarray(task.images.labels)), 1)
        logits = jnp.log(jnp.asarray(counts) + 1e-300)
        targets = jax.tree.map(lambda leaf: leaf[0], window.targets)
        loss, metrics = jax.vmap(task.loss)(logits[shade], targets)
        assert loss.mean() == pytest.approx(task.memoryless, rel=1e-9)
        assert metrics["accuracy"].count.sum() == len(task.images.labels)


def test_criterion_has_the_known_levels_of_each_part(home):
    for make in ("characters", "digits"):
        task = MAKE[make](home)
        assert math.isnan(task.optimum)
        algorithm = Supervised(task, ReadoutNetwork(functools.partial(LSTM, size=2)))
        assert algorithm.criterion.levels == {"memoryless": task.memoryless}
        assert algorithm.split("test").criterion.levels["memoryless"] != task.memoryless
    generated = Recall(3)
    assert generated.split() is generated


def test_expressions_name_data_tasks(home, monkeypatch):
    monkeypatch.chdir(home)
    assert build("Pixels(permuted=True)", AbstractTask).permuted
    assert build("Pixels('mnist', seed=4)", AbstractTask).classes == 3
    assert build("Text('story.txt', unit='word')", AbstractTask).unit == "word"
    with pytest.raises(InputError, match="path = 3: give a string"):
        build("Text(3)", AbstractTask)


class TestBadData:
    """The message is one line: which file, what is wrong, what was expected, and where to get it."""

    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_mnist(tmp_path / "set")
        return tmp_path

    @pytest.mark.parametrize(
        ("file", "change", "message"),
        [
            ("t10k-labels-idx1-ubyte", None, r"has no file t10k-labels-idx1-ubyte.*7,840,016.*yann\.lecun\.com"),
            ("train-images-idx3-ubyte", lambda data: data[:-5], "has 715 bytes.* 60 × 3 × 4 = 720.*download it again"),
            ("train-images-idx3-ubyte", lambda data: data + b"!", "has 721 bytes"),
            ("train-images-idx3-ubyte", lambda data: data[:7], "begins with"),
            ("train-images-idx3-ubyte", lambda data: b"", r"begins with the bytes \(none\)"),
            ("train-images-idx3-ubyte", lambda data: b"\0\0\x0d\3" + data[4:], "begins with the bytes 00 00 0d 03"),
            ("train-labels-idx1-ubyte", lambda data: b"\0\0\x08\2" + data[4:], "1 dimensions begins with 00 00 08 01"),
            ("train-labels-idx1-ubyte", lambda data: idx(np.zeros(59)), "60 images in .*, but 59 labels"),
            ("t10k-labels-idx1-ubyte", lambda data: idx(np.zeros(0)), "12 images in .*, but 0 labels"),
            ("t10k-images-idx3-ubyte", lambda data: idx(np.zeros((12, 4, 4))), "are 3 × 4, and .* 4 × 4"),
            ("t10k-images-idx3-ubyte", lambda data: idx(np.zeros((12, 0, 4))), "without a pixel"),
            ("t10k-images-idx3-ubyte", lambda data: b"\0\0\x08\3" + b"\xff" * 12, "4294967295 × 4294967295"),
        ],
    )
    def test_bad_images_are_refused(self, here, file, change, message):
        path = here / "set" / file
        data = path.read_bytes()
        path.unlink()
        if change is not None:
            path.write_bytes(change(data))
        self.refuses(lambda: Pixels("set"), message)

    def test_missing_or_few_images_are_refused(self, here):
        self.refuses(lambda: Pixels(str(write_mnist(here / "few", train=5))), "give 6 or more")
        self.refuses(lambda: Pixels("nowhere"), "'nowhere' has no file train-images-idx3-ubyte")
        self.refuses(lambda: Pixels("set/train-images-idx3-ubyte"), "has no file train-images")
        self.refuses(lambda: Pixels(seed=-1), "0 <= seed")
        (write_mnist(here / "zipped", packed=True) / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bnothing")
        self.refuses(lambda: Pixels("zipped"), r"train-labels-idx1-ubyte\.gz' cannot be unpacked")

    def test_digits_without_scikit_learn_are_refused(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        self.refuses(Pixels, r"pip install 'farback\[digits\]'")

    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("latin", "été ".encode("latin-1") * 30, "'latin' is no UTF-8 text: byte 0 is 0xe9"),
            ("empty", b"", "training part has 0 symbols"),
            ("short", b"a few words", "validation part has 1 symbols"),
            ("text8", b"anarchism " * 30, r"has 300 bytes, but text8 has 100,000,000.*mattmahoney\.net"),
        ],
    )
    def test_bad_texts_are_refused(self, here, name, data, message):
        (here / name).write_bytes(data)
        self.refuses(lambda: Text(name), message)

    def test_missing_or_short_texts_are_refused(self, here, key):
        self.refuses(lambda: Text("nowhere"), r"'nowhere' cannot be read: No such file.*ptb\.train\.txt.*fit\.vutbr\.cz")
        self.refuses(lambda: Text("set"), r"'set/ptb\.train\.txt' cannot be read")
        write_ptb(here / "ptb", "a b\n" * 9, "a\n" * 9, "")
        self.refuses(lambda: Text("ptb"), "test part has 0 symbols")
        (here / "text").write_text("ab" * 30)
        self.refuses(lambda: Text("text", "letter"), "by 'character' or by 'word'")
        self.refuses(lambda: Text("text").split().sources(3, key), r"3 sequences .* of 3 symbols.*batch <= 2")

    def refuses(self, call, message):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.fixture
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def learnt(task, batch_size, window, updates):
    """The mean losses of the last tenth of training and on the test part, in units of the memoryless loss, in float32."""
    network = ReadoutNetwork(functools.partial(LSTM, size=24))
    algorithm = Supervised(task, network, optimizer=optax.adam(1e-2), batch_size=batch_size, window=window)
    state, outcome = algorithm.train(algorithm.init(jax.random.key(1)), updates)
    test = algorithm.split()
    parts = len(test.task.images.labels) * test.task.pixels if isinstance(task, Pixels) else len(test.task.passage.symbols)
    amount = parts - parts % (batch_size * window)
    score = eqx.filter_jit(lambda algorithm, network: algorithm.evaluate(network, jax.random.key(2), amount))
    metrics = jax.tree.map(jnp.sum, score(test, state.network))
    assert outcome.loss.dtype == jnp.float32
    late = float(outcome.loss[-updates // 10 :].mean())
    return late / task.memoryless, float(metrics["losses/loss"].mean) / test.task.memoryless, metrics


@pytest.mark.usefixtures("_optax_promotes")
class TestLearning:
    def test_text_is_learnt_below_the_memoryless_loss(self, home):
        with jax.enable_x64(False):
            train, test, metrics = learnt(Text(str(home / "story.txt")), 16, 40, 300)
        assert train < 0.75
        assert test < 0.85
        assert metrics["charts/bits"].mean < 0.85 * Text(str(home / "story.txt")).split().memoryless / math.log(2)

    def test_pixels_are_learnt_above_chance(self):
        with jax.enable_x64(False):
            train, test, metrics = learnt(Pixels(), 50, 64, 200)
        assert train < 0.6
        assert test < 0.8
        assert metrics["charts/accuracy"].count == 300
        assert metrics["charts/accuracy"].mean > 0.4


def config(**changes):
    words = {"task": "Text('story.txt')", "cell": "GRU(3)", "estimator": "BPTT()", "optimizer": "sgd(0.1)"}
    words |= {"batch_size": 2, "window": 4, "total_steps": 80, "log_every": 5}
    return configure("supervised", **(words | changes))


@pytest.mark.usefixtures("_optax_promotes")
class TestRuns:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "story.txt").write_text(story(60))
        return tmp_path

    def test_run_on_data_resumes_bit_for_bit(self, here):
        run_config(config(), here / "whole")
        run_config(config(total_steps=40), here / "broken")
        run_config(config(), here / "broken")
        whole, broken = load(here / "whole"), load(here / "broken")
        pairs = zip(jax.tree.leaves(whole.state), jax.tree.leaves(broken.state), strict=True)
        assert all((one == other).all() for one, other in pairs)

    def test_run_on_data_is_scored_on_the_part_that_it_is_asked_for(self, here):
        run_config(config(), here / "run")
        run = load(here / "run")
        validation, test = (
            jax.tree.map(jnp.sum, run.evaluate(steps=9, algorithm=run.algorithm.split(part))[0])["losses/loss"].mean
            for part in ("validation", "test")
        )
        assert validation != test
        shown = Evaluate(here / "run", split="validation", steps=9).run()
        assert shown["metrics"]["losses/loss"]["by_seed"][0] == pytest.approx(float(validation))
        assert shown["levels"].keys() == {"memoryless"}
        assert run.timeline(0, 5)[0].observation.shape == (5, run.algorithm.task.input_size)

    def test_run_on_data_refuses_other_data(self, here):
        run_config(config(), here / "run")
        (here / "story.txt").write_text(story(60).replace("aunt", "anut"))
        for call in (lambda: run_config(config(total_steps=160), here / "run"), lambda: load(here / "run")):
            with pytest.raises(InputError, match=r"data = [0-9a-f]{64}"):
                call()
        (here / "story.txt").write_text(story(60))
        assert load(here / "run").facts["update"] == 10

    @pytest.mark.usefixtures("here")
    def test_devices_share_the_data(self):
        one, two = config(seeds=2).program(), config(seeds=2).program(2)
        runs = [program.advance(program.init(), 6, 0)[0] for program in (one, two)]
        assert all(jnp.allclose(a, b, rtol=1e-9) for a, b in zip(*map(numbers, runs), strict=True))

    @pytest.mark.usefixtures("here")
    def test_no_program_holds_the_data(self, key):
        """JAX warns of captured constants, and a warning fails a test."""
        algorithm = config().build()
        state = algorithm.init(key)
        bound = jax.config.jax_captured_constants_warn_bytes
        jax.config.update("jax_captured_constants_warn_bytes", 1000)
        try:
            assert sum(leaf.nbytes for leaf in jax.tree.leaves(algorithm) if eqx.is_array(leaf)) > 1000
            program = Program(algorithm, [0], 5)
            program.advance(program.init(), 2, 0)
            algorithm.train(state, 2)
            next(algorithm.task.windows(3, 2, key=key))
            saved = LoadedRun(program, program.init(), {})
            saved.evaluate(steps=2)
            saved.timeline(0, 3)
            with pytest.warns(UserWarning, match="constants were captured"):
                jax.jit(lambda state: algorithm.update(state)[1].loss).lower(state)
        finally:
            jax.config.update("jax_captured_constants_warn_bytes", bound)


def numbers(state):
    return [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
