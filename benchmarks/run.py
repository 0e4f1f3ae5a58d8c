"""Speed and memory against other libraries: `python benchmarks/run.py`, on a machine that does nothing else.

Each number comes from its own worker process, in the environment of its side. Sides take turns (A B A B ...), and the
median over the rounds is reported. Results are written to `docs/results/speed.md`, each with its command.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from cases import tables
from table import HERE, PEERS, ROOT, Found, Row, Side, Table

BUSY = 0.5  # the load above which a machine is too busy for measurements

# Why a target is missed, by the name of the row.
_UORO = (
    "PyTorch takes 0.9 ms a step here, and 1.75 ms with torch.func.jvp in place of the finite difference; the target was "
    "set from a version that took 2.6 ms. Half of our time is the one-step truncated update with Adam"
)
_ONE_SEED = (
    "both cores are busy: five seeds take the core time of five runs, and one run alone uses part of the second core"
)
REMARKS: dict[str, str] = {
    "LSTM 512, batch 64, T = 100": "parity: both sides are bound by matrix products, which keep both cores busy",
    "GRU 64, 4 symbols, UORO": _UORO,
    "GRU 64, 36 symbols, UORO": _UORO,
    "GRU 64, 64 copies, rollouts of 128": (
        "one seed already keeps one core busy with matrix products, so two cores cannot do better than 5×"
    ),
    "SAC, Pendulum": _ONE_SEED,
    "recurrent DQN, TMaze(20)": _ONE_SEED,
    "Thompson(), TabularMDP(), 10 episodes": ("two thirds of the time are posterior draws, and a third is planning"),
}


def ensure_environment(peer: str) -> None:
    """Makes benchmarks/.envs/PEER from its requirements, unless it exists."""
    home, requirements = HERE / ".envs" / peer, HERE / f"requirements-{peer}.txt"
    ready = home / ".ready"
    if ready.exists() and ready.read_text() == requirements.read_text():
        return
    say(f"making the environment of {peer}")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip = [home / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", requirements], check=True)
    ready.write_text(requirements.read_text())


def ask(side: Side) -> Found | None:
    """Runs a worker once; `None` if it fails."""
    done = subprocess.run([side.python, *side.command[1:]], cwd=ROOT, text=True, capture_output=True)
    if done.returncode:
        say(f"failed: {shlex.join(side.command)}\n{done.stderr[-2000:]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def measure(row: Row, rounds: int) -> list[Found | None]:
    """The medians of each side over the rounds, with sides in turn; `None` for a side that fails once."""
    found: list[list[Found | None]] = [[] for _ in row.sides]
    for number in range(rounds):
        for side, sofar in zip(row.sides, found, strict=True):
            if None not in sofar:
                say(f"  round {number + 1}/{rounds}: {shlex.join(side.command)}")
                sofar.append(ask(side))
    return [None if None in sofar else median(sofar) for sofar in found]


def median(found: list[Found]) -> Found:
    """The median of each number, and the last of each other value."""
    last = found[-1]
    return {
        name: statistics.median(one[name] for one in found) if isinstance(value, int | float) else value
        for name, value in last.items()
    }


def judge(table: Table, row: Row, found: list[Found | None]) -> tuple[str, str]:
    """Returns (number, verdict) of a row: the number that its target bounds, and whether it is met, or else a remark."""
    if row.target is None:
        return "", ""
    if None in found:
        return "", f"{row.target}: **missed**: a side failed"
    values = [table.value(one) for one in found]
    if row.target.met(values):
        return row.target.shows(values), f"{row.target}: met"
    return row.target.shows(values), f"{row.target}: **missed**: {REMARKS.get(row.name, 'not explained yet')}"


def render(table: Table, results: list[list[Found | None]]) -> str:
    """The table, and below it the command of each number."""
    aimed = any(row.target for row in table.rows)
    heads = ["", *table.heads, *(["measured", "target"] if aimed else [])]
    lines = [_line(heads), _line(["---"] * len(heads))]
    commands = []
    for row, found in zip(table.rows, results, strict=True):
        shown = ["failed" if one is None else table.shows(one) for one in found]
        lines.append(_line([row.name, *shown, *(judge(table, row, found) if aimed else ())]))
        commands += [f"{shlex.join(side.command)}  # {text}" for side, text in zip(row.sides, shown, strict=True)]
    return "\n".join([f"## {table.title}", "", table.text, "", *lines, "", "```", *commands, "```", ""])


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def preamble(arguments: argparse.Namespace, versions: dict[str, dict[str, str]], load: float) -> str:
    """The head of the page: the command, the date, the machine, the commit and the versions."""
    command = shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]])
    warning = ["**A quick trial of the benchmarks, not a result.**", ""] if arguments.quick else []
    warning += ["**Something else ran on this machine: these numbers are wrong.**", ""] if load > BUSY else []
    lines = [
        "# Speed and memory",
        "",
        *warning,
        f"Written by `{command}` on {datetime.date.today():%Y-%m-%d}, in one run. The sides take turns, each in its own "
        f"process; times are medians over {arguments.rounds} rounds; memory and exactness are measured once. The commands "
        "are below each table.",
        "",
        f"* machine: {machine()}; load at the start: {load:.2f}",
        f"* commit: {revision()}",
        *(
            f"* {worker} worker: " + ", ".join(f"{name} {number}" for name, number in each.items())
            for worker, each in versions.items()
        ),
        "",
    ]
    return "\n".join(lines)


def machine() -> str:
    """The processor, its cores, the memory and the system."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def revision() -> str:
    """The measured commit."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True, capture_output=True)
    return done.stdout.strip() or "not under version control"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="a,b,c,d,e,f,g,h,i,j,k,l,m", help="the sections to run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="where to write (default: docs/results/speed.md; out/speed.md if quick)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: whether everything runs")
    parser.add_argument("--continuous-rl", metavar="PATH", help="a checkout of ctallec/continuous-rl, for section n")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object as well")
    arguments = parser.parse_args()
    if "n" in arguments.only.split(",") and arguments.continuous_rl is None:
        parser.error("section n needs --continuous-rl PATH")
    arguments.rounds = 1 if arguments.quick else arguments.rounds
    arguments.out = arguments.out or ROOT / ("out/speed.md" if arguments.quick else "docs/results/speed.md")
    return arguments


def main() -> None:
    arguments = parse()
    load = os.getloadavg()[0]
    if load > BUSY:
        say(f"This machine is busy (load {load:.2f}): the numbers will be wrong.")
    chosen = [
        table for table in tables(arguments.quick, arguments.continuous_rl) if table.section in arguments.only.split(",")
    ]
    for peer in sorted({side.worker for table in chosen for row in table.rows for side in row.sides} & PEERS):
        ensure_environment(peer)
    pages, versions, everything = [], {}, {}
    for table in chosen:
        say(table.title)
        results = [measure(row, 1 if table.once else arguments.rounds) for row in table.rows]
        for row, found in zip(table.rows, results, strict=True):
            versions |= {side.worker: one["versions"] for side, one in zip(row.sides, found, strict=True) if one}
            everything[f"{table.title}: {row.name}"] = dict(zip(table.heads, found, strict=True))
        pages.append(render(table, results))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join([preamble(arguments, versions, load), *pages]))
    say(f"written: {arguments.out}")
    if arguments.json:
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
