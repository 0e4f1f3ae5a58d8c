"""Tasks that stand on data show the data as they are, learn from one part, are scored on another, and refuse bad files."""

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

import engram
from engram import BPTT, LSTM, AbstractTask, Chain, Config, InputError, Learner, Pixels, Recall, Saved, Text, load
from engram.cli.evaluate import Evaluate
from engram.objectives import OfTask
from engram.runs.program import Program
from engram.runs.spec import build
from engram.runs.trial import StreamTrial
from engram.tasks.corpus import read_corpus
from engram.tasks.idx import read_idx


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
def test_windows_are_windows_and_follow_one_another(task, part, key):
    task = task if part == "training" else task.held_out(part)
    whole = next(task.windows(20, 3, key=key))
    halves = list(itertools.islice(task.windows(10, 3, key=key), 2))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *halves)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(joined), jax.tree.leaves(whole), strict=True))
    assert whole.checked() is whole
    assert whole.inputs.shape == (3, 20, task.input_size)
    assert whole.inputs.dtype == float
    assert whole.first[:, 0].all()


@pytest.mark.parametrize("wide", [False, True], ids=["x32", "x64"])
def test_bytes_stay_bytes_until_they_are_shown(task, wide, key):
    with jax.enable_x64(wide):
        arrays = [leaf for leaf in jax.tree.leaves(task) if eqx.is_array(leaf)]
        assert {leaf.dtype for leaf in arrays} == {jnp.dtype("uint8")}
        window = next(task.windows(5, 2, key=key))
        loss, _ = task.loss(jnp.zeros(task.output_size), jax.tree.map(lambda leaf: leaf[0, 0], window.targets))
        width = 8 if wide else 4
        assert {leaf.dtype.itemsize for leaf in jax.tree.leaves((window.inputs, window.targets, loss))} == {width}


class TestText:
    """What is read is what is written."""

    @pytest.mark.parametrize("part", ["training", "validation", "test"])
    @pytest.mark.parametrize("unit", ["character", "word"])
    def test_each_sequence_is_the_text_from_its_place_on(self, home, unit, part, key):
        written = story() if unit == "character" else re.findall(r"\n|\S+", story())
        cuts = [0, len(written) * 9 // 10, len(written) * 19 // 20, len(written)]
        index = ["training", "validation", "test"].index(part)
        written = list(written[cuts[index] : cuts[index + 1]])
        task = Text(str(home / "story.txt"), unit)
        task = task if part == "training" else task.held_out(part)
        last, steps = len(written) - 1, len(written) + 7
        window = next(task.windows(steps, 3, key=key))
        for b, (first, inputs, targets) in enumerate(zip(window.first, window.inputs, window.targets, strict=True)):
            places = (b * last // 3 + np.arange(steps)) % last
            assert [task.vocabulary[k] for k in np.asarray(inputs).argmax(-1)] == [written[k] for k in places]
            assert [task.vocabulary[k] for k in np.asarray(targets)] == [written[k + 1] for k in places]
            assert (np.asarray(inputs).sum(-1) == 1).all()
            assert (np.asarray(first) == ((places == 0) | (np.arange(steps) == 0))).all()

    def test_episodes_are_other_passages_with_each_key(self, home, key):
        episodes = OfTask(Text(str(home / "story.txt")), 9)
        drawn = [np.asarray(episodes.draw(2, key).told.seen) for key in jax.random.split(key, 8)]
        assert len({one.tobytes() for one in drawn}) > 4

    def test_a_pass_sees_each_symbol_once(self, home, key):
        task = Text(str(home / "story.txt")).held_out()
        last = len(task.passage.symbols) - 1
        batch = next(size for size in range(2, last) if last % size == 0)
        window = next(task.windows(last // batch, batch, key=key))
        seen = np.asarray(window.inputs).argmax(-1).ravel()
        assert (seen == np.asarray(task.passage.symbols)[:-1]).all()

    def test_the_places_of_a_long_text_do_not_overflow(self, home, key):
        with jax.enable_x64(False):
            task = Text(str(home / "story.txt"))
            symbols = jnp.zeros(90_000_000, jnp.uint8)
            sources = eqx.tree_at(lambda task: task.passage.symbols, task, symbols).sources(64, key)
            assert sources.position.tolist() == [b * 89_999_999 // 64 for b in range(64)]

    def test_the_vocabulary_is_that_of_the_training_part(self, tmp_path):
        (tmp_path / "plain").write_text("ab" * 50)
        assert Text(str(tmp_path / "plain")).vocabulary == ("a", "b")
        (tmp_path / "odd").write_text("ab" * 45 + "abcde" + "abdéf")
        odd = Text(str(tmp_path / "odd"))
        assert odd.vocabulary == ("a", "b", "<unk>")
        assert odd.held_out("validation").passage.symbols.tolist() == [0, 1, 2, 2, 2]
        assert odd.held_out("test").passage.symbols.tolist() == [0, 1, 2, 2, 2]

    def test_ptb_is_read_as_the_field_reads_it(self, home):
        words = Text(str(home / "ptb"), "word")
        assert words.vocabulary == ("a", "b", "\n", "<unk>", "c")
        assert [words.vocabulary[k] for k in words.held_out().passage.symbols[:5]] == ["c", "<unk>", "\n", "a", "\n"]
        characters = read_corpus(home / "ptb", "character")
        assert "".join(characters.vocabulary[k] for k in characters.parts["validation"]) == "a c \nb \n" * 3

    def test_text8_is_cut_where_the_field_cuts_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr("engram.tasks.corpus.TEXT8", 100)
        (tmp_path / "text8").write_text("x" * 90 + "y" * 5 + "z" * 5)
        assert {name: len(part) for name, part in read_corpus(tmp_path / "text8", "character").parts.items()} == {
            "training": 90,
            "validation": 5,
            "test": 5,
        }

    @pytest.mark.parametrize("make", ["characters", "words", "ptb"])
    def test_counting_pairs_reaches_the_memoryless_loss(self, home, make, key):
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
    """What is shown is what the files hold."""

    def test_held_out_images_are_shown_in_order_from_every_share_on(self, home, key):
        files = home / "mnist"
        shades, labels = read_idx(files / "t10k-images-idx3-ubyte", 3), read_idx(files / "t10k-labels-idx1-ubyte", 1)
        window = next(Pixels(str(files)).held_out().windows(4 * 12 + 2, 3, key=key))
        for b in range(3):
            shown = np.asarray(window.inputs[b, :48, 0]).reshape(4, 3, 4)
            assert (np.round(shown * 255) == shades[4 * b : 4 * b + 4]).all()
            asked = np.flatnonzero(np.asarray(window.targets.weight[b]))
            assert asked.tolist() == [11, 23, 35, 47]
            assert (np.asarray(window.targets.label[b])[asked] == labels[4 * b : 4 * b + 4]).all()
            assert np.flatnonzero(window.first[b]).tolist() == [0, 12, 24, 36, 48]
        assert window.inputs[2, 48, 0] == pytest.approx(shades[0, 0, 0] / 255)

    def test_episodes_of_held_out_images_are_others_with_each_key(self, home, key):
        episodes = OfTask(Pixels(str(home / "mnist")).held_out())
        drawn = [np.asarray(episodes.draw(3, key).told.seen) for key in jax.random.split(key, 8)]
        assert len({one.tobytes() for one in drawn}) > 2
        assert all(len({image.tobytes() for image in one}) == 3 for one in drawn)

    def test_training_draws_every_image_and_no_other(self, home, key):
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
    def test_one_permutation_serves_every_image(self, home, source):
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

    def test_enlarged_images_show_each_pixel_as_a_square(self, home):
        plain, large = (Pixels(str(home / "mnist"), enlarged=times) for times in (1, 3))
        whole = np.asarray(large.images.shades).reshape(-1, 9, 12)
        small = np.asarray(plain.images.shades).reshape(-1, 3, 4)
        for down, right in itertools.product(range(3), range(3)):
            np.testing.assert_array_equal(whole[:, down::3, right::3], small)
        with pytest.raises(InputError, match="enlarged=0"):
            Pixels(enlarged=0)

    def test_parts_have_no_image_in_common(self):
        task = Pixels()
        parts = [task.images, task.held["validation"], task.held["test"]]
        assert [len(part.labels) for part in parts] == [1197, 300, 300]
        seen = [{bytes(image) for image in np.asarray(part.shades)} for part in parts]
        assert sum(map(len, seen)) == len(set.union(*seen)) == 1797
        assert all(set(np.asarray(part.labels)) == set(range(10)) for part in parts)

    def test_zipped_files_are_the_same(self, home, tmp_path):
        packed, plain = (Pixels(str(path)) for path in (write_mnist(tmp_path / "zipped", packed=True), home / "mnist"))
        assert (packed.images.shades == plain.images.shades).all()
        assert (packed.held["test"].labels == plain.held["test"].labels).all()

    @pytest.mark.parametrize("make", ["digits", "permuted", "mnist"])
    def test_counting_last_pixels_reaches_the_memoryless_loss(self, home, make, key):
        task = MAKE[make](home).held_out()
        window = next(task.windows(len(task.images.labels) * task.pixels, 1, key=key))
        shade = jnp.round(window.inputs[0, :, 0] * task.white).astype(int)
        counts = np.zeros((256, task.output_size))
        np.add.at(counts, (np.asarray(task.images.shades[:, -1]), np.asarray(task.images.labels)), 1)
        logits = jnp.log(jnp.asarray(counts) + 1e-300)
        targets = jax.tree.map(lambda leaf: leaf[0], window.targets)
        loss, metrics = jax.vmap(task.loss)(logits[shade], targets)
        assert loss.mean() == pytest.approx(task.memoryless, rel=1e-9)
        assert metrics["accuracy"].count.sum() == len(task.images.labels)


def test_what_is_unknown_is_no_level_and_what_is_drawn_afresh_has_no_parts(home):
    for make in ("characters", "digits"):
        task = MAKE[make](home)
        assert math.isnan(task.optimum)
        trial = StreamTrial(Learner(task, BPTT(), optax.sgd(0.1)), lambda key: None, 1, 1)
        assert trial.aim.levels == {"memoryless": task.memoryless}
        assert trial.held_out("test").aim.levels["memoryless"] != task.memoryless
    generated = Recall(3)
    assert generated.held_out() is generated


def test_expressions_name_data(home, monkeypatch):
    monkeypatch.chdir(home)
    assert build("Pixels(permuted=True)", AbstractTask).permuted
    assert build("Pixels('mnist', seed=4)", AbstractTask).classes == 3
    assert build("Text('story.txt', unit='word')", AbstractTask).unit == "word"
    with pytest.raises(InputError, match="path wants a string"):
        build("Text(3)", AbstractTask)


class TestBadData:
    """One line: which file, what is wrong with it, what was expected, and where it is had."""

    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_mnist(tmp_path / "set")
        return tmp_path

    @pytest.mark.parametrize(
        ("file", "change", "message"),
        [
            ("t10k-labels-idx1-ubyte", None, r"has no file t10k-labels-idx1-ubyte.*7,840,016.*yann\.lecun\.com"),
            ("train-images-idx3-ubyte", lambda data: data[:-5], "has 715 bytes.* 60 × 3 × 4 = 720.*fetch it again"),
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
    def test_images(self, here, file, change, message):
        path = here / "set" / file
        data = path.read_bytes()
        path.unlink()
        if change is not None:
            path.write_bytes(change(data))
        self.refuses(lambda: Pixels("set"), message)

    def test_images_that_are_too_few_or_not_there(self, here):
        self.refuses(lambda: Pixels(str(write_mnist(here / "few", train=5))), "a set has 6 at least")
        self.refuses(lambda: Pixels("nowhere"), "'nowhere' has no file train-images-idx3-ubyte")
        self.refuses(lambda: Pixels("set/train-images-idx3-ubyte"), "has no file train-images")
        self.refuses(lambda: Pixels(seed=-1), "0 <= seed")
        (write_mnist(here / "zipped", packed=True) / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bnothing")
        self.refuses(lambda: Pixels("zipped"), r"train-labels-idx1-ubyte\.gz' cannot be unpacked")

    def test_digits_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        self.refuses(Pixels, r"pip install 'engram\[digits\]'")

    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("latin", "été ".encode("latin-1") * 30, "'latin' is no UTF-8 text: byte 0 is 0xe9"),
            ("empty", b"", "training part has 0 symbols"),
            ("short", b"a few words", "validation part has 1 symbols"),
            ("text8", b"anarchism " * 30, r"has 300 bytes, where text8 has 100,000,000.*mattmahoney\.net"),
        ],
    )
    def test_texts(self, here, name, data, message):
        (here / name).write_bytes(data)
        self.refuses(lambda: Text(name), message)

    def test_texts_that_are_not_there(self, here, key):
        self.refuses(lambda: Text("nowhere"), r"'nowhere' cannot be read: No such file.*ptb\.train\.txt.*fit\.vutbr\.cz")
        self.refuses(lambda: Text("set"), r"'set/ptb\.train\.txt' cannot be read")
        write_ptb(here / "ptb", "a b\n" * 9, "a\n" * 9, "")
        self.refuses(lambda: Text("ptb"), "test part has 0 symbols")
        (here / "text").write_text("ab" * 30)
        self.refuses(lambda: Text("text", "letter"), "by 'character' or by 'word'")
        self.refuses(lambda: Text("text").held_out().sources(3, key), r"3 sequences .* of 3 symbols.*batch <= 2")

    def refuses(self, call, message):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.fixture
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def learnt(task, batch, length, updates):
    """The mean losses of the last tenth of training and on the test part, in units of the memoryless loss, in float32."""
    keys = jax.random.split(jax.random.key(1), 4)
    model = Chain(LSTM(task.input_size, 24, key=keys[0]), eqx.nn.Linear(24, task.output_size, key=keys[1]))
    learner = Learner(task, BPTT(), optax.adam(1e-2))
    state = learner.init(model, batch, key=keys[2])
    state, _, outcome = learner.train(state, task.sources(batch, keys[3]), updates, length)
    trial = StreamTrial(learner, lambda key: model, batch, length).held_out()
    passes = (
        max(1, 300 // batch) if isinstance(task, Pixels) else len(trial.learner.task.passage.symbols) // batch // length
    )
    scored = eqx.filter_jit(lambda trial, model: trial.evaluate(model, keys[3], passes))(trial, state.model)
    assert outcome.loss.dtype == jnp.float32
    late = float(outcome.loss[-updates // 10 :].mean())
    return late / task.memoryless, float(scored["losses/loss"].mean) / trial.aim.levels["memoryless"], scored


@pytest.mark.usefixtures("_optax_promotes")
class TestLearning:
    def test_text_is_learnt_below_what_pairs_tell(self, home):
        with jax.enable_x64(False):
            train, test, metrics = learnt(Text(str(home / "story.txt")), 16, 40, 300)
        assert train < 0.75
        assert test < 0.85
        assert metrics["charts/bits"].mean < 0.85 * Text(str(home / "story.txt")).held_out().memoryless / math.log(2)

    def test_digits_are_learnt_above_chance(self):
        with jax.enable_x64(False):
            train, test, metrics = learnt(Pixels(), 50, 64, 200)
        assert train < 0.6
        assert test < 0.8
        assert metrics["charts/accuracy"].count == 300
        assert metrics["charts/accuracy"].mean > 0.4


def config(**changes):
    settings = {"task": "Text('story.txt')", "cell": "GRU(3)", "estimator": "BPTT()", "optimiser": "sgd(0.1)"}
    numbers = {"batch": 2, "length": 4, "steps": 80, "seed": 0, "seeds": 1, "log_every": 5}
    return Config(**(settings | numbers | changes))


@pytest.mark.usefixtures("_optax_promotes")
class TestRuns:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "story.txt").write_text(story(60))
        return tmp_path

    def test_a_run_on_data_resumes_is_scored_on_what_it_never_saw_and_refuses_other_data(self, here):
        engram.run(config(), here / "whole")
        engram.run(config(steps=40), here / "broken")
        engram.run(config(), here / "broken")
        whole, broken = load(here / "whole"), load(here / "broken")
        pairs = zip(jax.tree.leaves(whole.running), jax.tree.leaves(broken.running), strict=True)
        assert all((one == other).all() for one, other in pairs)
        validation, test = (
            whole.evaluate(9, whole.program.trial.held_out(part))[0]["losses/loss"].mean for part in ("validation", "test")
        )
        assert validation != test
        said = Evaluate(here / "whole", part="validation", steps=8 * 9).run()
        assert said["metrics"]["losses/loss"]["by_seed"][0] == pytest.approx(float(validation))
        assert said["levels"].keys() == {"memoryless"}
        assert whole.watch(0, 5)[0].seen.shape == (5, whole.program.trial.learner.task.input_size)
        (here / "story.txt").write_text(story(60).replace("aunt", "anut"))
        for open_it in (lambda: engram.run(config(steps=160), here / "whole"), lambda: load(here / "whole")):
            with pytest.raises(InputError, match=r"made with data = [0-9a-f]{64}, and not .* data if it has any, back"):
                open_it()
        (here / "story.txt").write_text(story(60))
        assert load(here / "whole").facts["update"] == 10

    def test_devices_share_the_data(self, here):
        one, two = config(seeds=2).program(), config(seeds=2).program(2)
        runs = [program.advance(program.init(), 6, 0)[0] for program in (one, two)]
        assert all(jnp.allclose(a, b, rtol=1e-9) for a, b in zip(*map(numbers, runs), strict=True))

    def test_no_program_holds_the_data(self, here, key):
        """JAX warns of constants that are captured, and a warning fails a test."""
        trial = config().trial()
        state = trial.init(key)
        bound = jax.config.jax_captured_constants_warn_bytes
        jax.config.update("jax_captured_constants_warn_bytes", 1000)
        try:
            assert sum(leaf.nbytes for leaf in jax.tree.leaves(trial) if eqx.is_array(leaf)) > 1000
            program = Program(trial, [0], 5)
            program.advance(program.init(), 2, 0)
            learner = trial.learner
            learner.train(state.learning, state.sources, 2, 4)
            next(learner.task.windows(3, 2, key=key))
            saved = Saved(program, program.init(), {})
            saved.evaluate(2)
            saved.watch(0, 3)
            with pytest.warns(UserWarning, match="constants were captured"):
                jax.jit(lambda state: trial.update(state)[1].loss).lower(state)
        finally:
            jax.config.update("jax_captured_constants_warn_bytes", bound)


def numbers(running):
    return [leaf for leaf in jax.tree.leaves(running) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
