"""The tables of the replay and of off-policy agents: what is measured, against what, and the targets."""

import shlex

from table import (
    Row,
    Side,
    Table,
    Target,
    in_microseconds,
    in_seconds,
    inverse_ratio,
    ratio,
    seconds,
    steps_per_second,
    thousands,
)

NOT_SLOWER = Target(inverse_ratio, 1.0, at_least=True)


def against_flashbax(short: str) -> Table:
    """The replay against a trajectory buffer of flashbax."""
    theirs = Side("flashbax", f"draw{short}")

    def row(name: str, words: str, target: Target | None) -> Row:
        return Row(name, (Side("replay", f"draw{words}{short}"), theirs), target)

    return Table(
        "m",
        "Replay against flashbax",
        "The time to add one step of 8 copies and to draw 32 windows of 16 steps, in a scan; 100,000 steps of 69 floats. "
        "flashbax has no writing back, so its number is repeated there.",
        ("farback", "flashbax"),
        (
            row("add and draw", "", NOT_SLOWER),
            row("add, draw and write back", " --write 1", None),
            row("by priorities, which are set anew", " --prioritized 1", None),
        ),
        seconds,
        in_microseconds,
    )


AGENTS: dict[str, tuple[str, str, str]] = {
    "DQN, CartPole": ("dqn", "CartPole()", "CartPole-v1"),
    "TD3, Pendulum": ("td3", "Pendulum()", "Pendulum-v1"),
    "SAC, Pendulum": ("sac", "Pendulum()", "Pendulum-v1"),
}
"""The algorithm and the environments of both sides."""


def against_rejax(short: str) -> Table:
    """Off-policy agents without memory."""

    def row(name: str, algorithm: str, ours: str, theirs: str) -> Row:
        sides = (
            Side("agents", f"{algorithm} --env '{ours}'{short}"),
            Side("rejax", f"train --algorithm {algorithm} --env {theirs}{short}"),
        )
        return Row(name, sides, Target(ratio, 1.0, at_least=True))

    return Table(
        "m",
        "Off-policy agents without memory, against rejax",
        "Environment steps per second, in thousands, acting and learning included. 8 copies, and a gradient step on 128 "
        "steps of the replay after each of their steps. Two layers of 64 units; TD3 and SAC have two critics.",
        ("farback", "rejax"),
        tuple(row(name, *each) for name, each in AGENTS.items()),
        steps_per_second,
        thousands,
    )


def against_sbx(short: str) -> Table:
    """Off-policy agents without memory, on environments in Python."""

    def row(algorithm: str, ours: str, theirs: str) -> Row:
        sides = (
            Side("agents", f"{algorithm} --env '{ours}'{short}"),
            Side("sbx", f"train --algorithm {algorithm} --env {theirs}{short}"),
        )
        return Row(f"{algorithm.upper()}, {ours}", sides, Target(ratio, 1.0, at_least=True))

    return Table(
        "m",
        "Off-policy agents without memory, against sbx",
        "Environment steps per second, in thousands, with the sizes above. sbx compiles the gradient step, and steps "
        "environments of Gymnasium in Python; ours are compiled too.",
        ("farback", "sbx"),
        (row("dqn", "CartPole()", "CartPole-v1"), row("ddpg", "Pendulum()", "Pendulum-v1")),
        steps_per_second,
        thousands,
    )


def r2d2_against_memorax(short: str) -> Table:
    """Recurrent DQN from a prioritized replay."""
    sides = (Side("agents", f"r2d2 --batch 8{short}"), Side("memorax", f"r2d2{short}"))
    return Table(
        "m",
        "R2D2 against memorax",
        "Environment steps per second, in thousands: CartPole, a GRU of 64 units, 8 copies, and a gradient step on 8 "
        "windows of 16 steps after each of their steps; a burn-in of 4 steps, targets of 3 steps, double Q-learning, and "
        "a replay of 100,000 steps by priorities.",
        ("farback", "memorax"),
        (Row("R2D2, CartPole", sides, Target(ratio, 1.5, at_least=True)),),
        steps_per_second,
        thousands,
    )


def against_continuous_rl(checkout: str, short: str) -> Table:
    """Deep advantage updating against its authors' code."""
    sides = (Side("agents", f"dau{short}"), Side("continuous-rl", f"dau --checkout {shlex.quote(checkout)}{short}"))
    return Table(
        "n",
        "Deep advantage updating against the authors' code",
        "The time of an update on Pendulum: 10 steps of 256 copies, and 50 gradient steps on 256 steps of the replay each. "
        "Networks have two layers of 256 units; ours has a third in the advantage. Theirs steps all copies as one array "
        "here, instead of a process for each.",
        ("farback", "continuous-rl"),
        (Row("DAU, Pendulum", sides, Target(inverse_ratio, 20.0, at_least=True)),),
        seconds,
        in_seconds,
    )


def five_seeds(short: str) -> Table:
    """The cost of five seeds of off-policy agents."""

    def row(name: str, case: str) -> Row:
        five = Side("agents", f"{case} --seeds 5 --devices 5{short}")
        return Row(name, (five, Side("agents", f"{case}{short}")), Target(ratio, 2.5, at_least=False))

    return Table(
        "m",
        "Five off-policy agents against one",
        "The time of an update of five seeds together, each on a CPU device, and of one.",
        ("five seeds", "one seed"),
        (
            row("DQN, CartPole", "dqn --env 'CartPole()'"),
            row("SAC, Pendulum", "sac --env 'Pendulum()'"),
            row("recurrent DQN, TMaze(20)", "recurrent-dqn --env 'TMaze(20)' --updates 128"),
        ),
        seconds,
        in_microseconds,
    )
