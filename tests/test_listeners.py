"""TensorBoard and Weights & Biases get every row; a terminal shows a progress bar."""

import json
import os
import pty
import re
import struct
import subprocess
import sys

import pytest
from tensorboardX.proto.event_pb2 import Event

pytestmark = pytest.mark.slow

RUN = (
    *(sys.executable, "-m", "farback", "train", "supervised", "--task", "Recall(2)", "--cell", "GRU(4)"),
    *("--batch-size", "2", "--window", "3", "--seeds", "2", "--log-every", "5"),
)


def scalars(path):
    """The scalars of an event file, whose records are: length, its checksum, an event, its checksum."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return found


def test_tensorboard_and_wandb_get_every_row(tmp_path):
    for steps in (6 * 40, 6 * 60):
        done = subprocess.run(
            [*RUN, "--total-steps", str(steps), "--dir", "run", "--tensorboard", "--wandb", "project", "--json"],
            cwd=tmp_path,
            env=os.environ | {"WANDB_MODE": "offline"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["step"] == steps
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for seed in (0, 1):
        logged = [(row["step"], row["losses/loss"]) for row in rows if row["seed"] == seed]
        files = sorted((tmp_path / "run" / "tensorboard" / f"seed-{seed}").iterdir())
        received = [(step, value) for file in files for tag, step, value in scalars(file) if tag == "losses/loss"]
        assert len(received) == 12
        assert [step for step, _ in received] == [step for step, _ in logged]
        assert all(abs(value - loss) < 1e-6 for (_, value), (_, loss) in zip(received, logged, strict=True))
    kept = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 2 * 2
    assert len({path.name for path in kept}) == 2
    assert all(b"losses/loss" in path.read_bytes() for path in kept)


def in_a_terminal(*command):
    """The output of a command in a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=os.environ | {"COLUMNS": "120"})
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 4096)
        except OSError:
            break
    os.close(leader)
    process.communicate()
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_a_bar_and_a_file_does_not(tmp_path):
    command = (*RUN, "--total-steps", str(6 * 2000), "--dir")
    shown = in_a_terminal(*command, str(tmp_path / "seen"))
    assert re.search(r"training .*100 %.*steps/s.*loss \d", shown)
    assert "compiling" in shown
    unseen = subprocess.run([*command, str(tmp_path / "unseen")], capture_output=True, text=True)
    assert "training" not in unseen.stderr
    assert "%" not in unseen.stderr.replace("95 %", "")
    assert unseen.stdout == ""
