"""A run loses nothing when its process is killed or interrupted, its disk is full, or a second process starts."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from farback.runs.checkpoint import DIGEST, Checkpoints
from farback.runs.checkpoint import facts as facts_of

FARBACK = (sys.executable, "-m", "farback")
RUN = (
    *("supervised", "--task", "Recall(3)", "--cell", "GRU(8)", "--estimator", "UORO()"),
    *("--batch-size", "4", "--window", "4", "--log-every", "50"),
)
TIMES = ("charts/SPS", "time/seconds")
OPTIMIZED = {
    name: value for name, value in os.environ.items() if name not in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")
}
"""The environment of runs of many updates, without the tests' limits on optimization."""


def command(directory, steps, *more, save_every=0.1):
    asked = ("--dir", str(directory), "--total-steps", str(steps), "--save-every", str(save_every))
    return [*FARBACK, "train", *RUN, *asked, *more]


def start(directory, steps, *more):
    """Starts a run that receives SIGINT, even if the tests ignore it, as they do in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command(directory, steps, *more), **pipes, text=True, env=OPTIMIZED)
    finally:
        signal.signal(signal.SIGINT, before)


def finish(directory, steps, *more):
    done = subprocess.run(command(directory, steps, *more), capture_output=True, text=True, env=OPTIMIZED)
    assert done.returncode == 0, done.stderr
    return done


def paths(directory):
    return Checkpoints(directory / "checkpoints").paths()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.01)


def moved_on(directory, newest, process):
    """Whether there is a newer checkpoint, or the process has ended."""
    return paths(directory)[:1] != newest or process.poll() is not None


def payload(directory):
    """The bytes of all arrays of the newest checkpoint."""
    data = paths(directory)[0].read_bytes()[:-DIGEST]
    start = data.index(b"\n") + 9
    return data[start + int.from_bytes(data[start - 8 : start], "little") :]


def rows(directory):
    found = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


@pytest.mark.slow
def test_a_run_killed_three_times_equals_an_unbroken_one(tmp_path):
    """Killed while it starts, trains, logs and saves, a run keeps only what a checkpoint holds."""
    steps, draw, kills = 16 * 60_000, random.Random(0), 0
    seen = set()
    while kills < 3:
        process = start(tmp_path / "killed", steps)
        before = paths(tmp_path / "killed")[:1]
        if kills:
            wait_for(partial(moved_on, tmp_path / "killed", before, process))
            time.sleep(draw.uniform(0, 0.4))
        else:
            time.sleep(draw.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed: give it more steps"
        kills += 1
        seen |= {path.stem for path in paths(tmp_path / "killed")}
    assert len(seen) > 1
    finish(tmp_path / "killed", steps)
    finish(tmp_path / "whole", steps)
    assert payload(tmp_path / "killed") == payload(tmp_path / "whole")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert [row["update"] for row in rows(tmp_path / "whole")] == list(range(50, 60_001, 50))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.slow
def test_an_interrupted_run_is_saved_and_says_how_to_resume(number, code, tmp_path):
    steps = 16 * 10_000_000
    process = start(tmp_path / "run", steps, "--json")
    wait_for(lambda: len(paths(tmp_path / "run")) > 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    newest = facts_of(paths(tmp_path / "run")[0])
    assert f"saved at update {newest['update']:,}" in err
    resume = shlex.split(err.strip().splitlines()[-1].partition("Resume with: ")[2])
    assert resume[1:] == command(tmp_path / "run", steps, "--json")[3:]
    assert "error" in json.loads(out.splitlines()[-1])
    resume[resume.index("--total-steps") + 1] = str(16 * (newest["update"] + 100))
    resumed = subprocess.run([*FARBACK, *resume[1:]], capture_output=True, text=True, env=OPTIMIZED, timeout=60)
    assert json.loads(resumed.stdout)["update"] == newest["update"] + 100


def test_two_processes_in_one_directory_are_refused(tmp_path):
    process = start(tmp_path / "run", 16 * 10_000_000)
    wait_for(lambda: len(paths(tmp_path / "run")) > 0)
    second = subprocess.run(command(tmp_path / "run", 16 * 10_000_000), capture_output=True, text=True, env=OPTIMIZED)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert second.returncode == 2
    assert "Another process is training in" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert process.returncode == 143


FULL = """
set -u
mount -t tmpfs -o size={size} tmpfs {room} || exit 77
{train}
echo first $?
dd if=/dev/zero of={room}/ballast bs=1024 count={ballast} 2>/dev/null
truncate -s -{left}k {room}/ballast
{more}
echo full $?
ls {room}/run/checkpoints
rm {room}/ballast
{more}
echo after $?
cp -r {room}/run {kept}
"""


@pytest.mark.slow
def test_a_full_disk_stops_the_run_without_loss(tmp_path):
    room, steps = tmp_path / "room", 16 * 20_000
    room.mkdir()
    script = FULL.format(
        size="400k",
        ballast=400,
        left=32,
        room=room,
        kept=tmp_path / "kept",
        train=shlex.join(command(room / "run", steps)),
        more=shlex.join(command(room / "run", 2 * steps)),
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=OPTIMIZED)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        reason = "needs a mount of its own: allow unprivileged user namespaces, or run as root"
        (pytest.fail if os.environ.get("FARBACK_CI") == "1" else pytest.skip)(reason)
    said = done.stdout.split()
    assert said[said.index("first") + 1] == "0", done.stderr
    assert said[said.index("full") + 1] == "1"
    whole = re.search(r"No space left on device. The checkpoint of update ([\d,]+) is whole: free some space", done.stderr)
    assert whole, done.stderr
    kept = said[said.index("full") + 2 : said.index("after")]
    assert int(whole[1].replace(",", "")) == max(int(name.partition(".")[0]) for name in kept)
    assert said[said.index("after") + 1] == "0"
    finish(tmp_path / "whole", 2 * steps)
    assert payload(tmp_path / "kept") == payload(tmp_path / "whole")
    assert rows(tmp_path / "kept") == rows(tmp_path / "whole")


@pytest.mark.slow
def test_a_flipped_byte_is_reported_and_the_checkpoint_before_is_used(tmp_path):
    steps = 16 * 20_000
    finish(tmp_path / "run", steps)
    finish(tmp_path / "run", 2 * steps)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    newest = paths(tmp_path / "other")[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    done = finish(tmp_path / "other", 2 * steps)
    assert "is damaged: it was cut short or changed" in done.stderr
    assert payload(tmp_path / "other") == payload(tmp_path / "run")
    assert rows(tmp_path / "other") == rows(tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_diverges_names_the_parameter(tmp_path):
    """The step grows tenfold per update until parameters overflow; halving it only delays that."""
    growing = ("--optimizer", "sgd(exponential_decay(1e-3, 1, 10.0))")
    asked = command(tmp_path / "run", 16 * 200, *growing, save_every=1000)
    stopped = subprocess.run(asked, capture_output=True, text=True, env=OPTIMIZED)
    assert stopped.returncode == 1
    assert re.search(r"NaN or infinite: parameter \.(memory|head).* of seed 0 at update \d+", stopped.stderr)
    only = paths(tmp_path / "run")
    before = only[0].read_bytes()
    restored = subprocess.run([*asked, "--on-nan", "restore"], capture_output=True, text=True, env=OPTIMIZED)
    assert restored.returncode == 1
    assert restored.stderr.count("back to update 0, with") == 20
    assert paths(tmp_path / "run") == only
    assert only[0].read_bytes() == before
