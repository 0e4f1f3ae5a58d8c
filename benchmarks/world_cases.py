"""The tables of worlds that are seen: what is measured, against what, and the targets."""

from table import Row, Side, Table, Target, ratio, steps_per_second, thousands


def against_vizdoom(short: str) -> Table:
    """Random play of the ray-caster and of ViZDoom."""

    def row(env: str, scenario: str) -> Row:
        sides = Side("worlds", f"frames --env '{env}'{short}"), Side("worlds", f"doom --scenario {scenario}{short}")
        return Row(env, sides, Target(ratio, 12.0, at_least=True, form="{:.1f}×"))

    return Table(
        "o",
        "The ray-caster against ViZDoom",
        "Frames per second, in thousands: random play, resets included, in images of 40 × 30 (64 × 64 for TakeCover). Two "
        "processes on both sides, each pinned to a core; an engine of ViZDoom shares the core of its process.",
        ("farback", "ViZDoom"),
        (row("Maze()", "maze"), row("TwoColors()", "two-colors"), row("TakeCover()", "take_cover")),
        steps_per_second,
        thousands,
    )


def seen_against_sb3(short: str, updates: int) -> Table:
    """PPO with the network of RL² on images."""
    sides = Side("worlds", f"learning{short}"), Side("sb3", f"seen --updates {updates}")
    return Table(
        "o",
        "PPO on images against sb3-contrib",
        "Environment steps per second, in thousands, acting and learning included: `Maze()`, the convolutions of RL², 256 "
        "units, 64 copies, rollouts of 128 steps, 4 epochs of 4 minibatches. `RecurrentPPO` has an LSTM, and ours a GRU. "
        "Both act in the same environment, theirs through Farback's vector environment.",
        ("farback", "sb3-contrib"),
        (Row("Maze()", sides, Target(ratio, 10.0, at_least=True, form="{:.1f}×")),),
        steps_per_second,
        thousands,
    )


def shares_of_learning(short: str) -> Table:
    """The parts of an update of PPO on images that three things take."""
    parts = "rendering", "convolutions", "memory"
    return Table(
        "o",
        "Parts of an update of PPO on images",
        "The time of a part alone, in a loop of one program, in parts of the time of an update with the sizes above: each "
        "image is drawn once; convolutions and memory go forwards to act, and forwards and backwards in each epoch.",
        ("part of an update",),
        tuple(Row(part, (Side("worlds", f"share --part {part}{short}"),)) for part in parts),
        lambda found: found["share"],
        lambda found: f"{found['share']:.0%}",
    )
