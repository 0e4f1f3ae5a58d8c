"""The tables of agents, strategies and MemUP: what is measured, against what, and the targets."""

from table import Row, Side, Table, Target, in_seconds, inverse_ratio, ratio, seconds, steps_per_second, thousands

AGENTS = (
    "Environment steps per second, in thousands, acting and learning included. PPO with 64 units of memory, 64 copies, "
    "rollouts of 128 steps, 4 epochs of 4 minibatches."
)


def against_sb3(short: str, updates: int) -> Table:
    """PPO against sb3-contrib."""

    def row(cell, name, asked, target):
        ours = Side("agents", f"ppo --env 'TMaze(20)' --cell '{cell}'{short}")
        return Row(f"{cell}; {name}", (ours, Side("sb3", f"ppo {asked} --updates {updates}")), target)

    goal = Target(ratio, 15.0, at_least=True, form="{:.1f}×")
    return Table(
        "i",
        "Recurrent PPO against sb3-contrib",
        f"{AGENTS} `TMaze(20)`, one memory for policy and value; `RecurrentPPO` has an LSTM. Its copies are stepped one by "
        "one, as with `gymnasium.make` in a `DummyVecEnv`, or together by Farback's vector environment, through an "
        "adapter.",
        ("farback", "sb3-contrib"),
        (
            row("GRU(64)", "copies one by one", "--together 0", goal),
            row("GRU(64)", "copies together", "--together 1", None),
            row("GRU(64)", "copies together, one thread", "--together 1 --threads 1", None),
            row("LSTM(64)", "copies together, one thread", "--together 1 --threads 1", None),
        ),
        steps_per_second,
        thousands,
    )


def against_memorax(short: str) -> Table:
    """PPO against memorax."""
    ours = Side("agents", f"ppo --env 'CartPole()' --cell 'GRU(64)' --shared 0{short}")
    target = Target(ratio, 1.0, at_least=True)
    return Table(
        "i",
        "Recurrent PPO against memorax",
        f"{AGENTS} CartPole, a GRU each for policy and value.",
        ("farback", "memorax"),
        (Row("GRU 64, CartPole", (ours, Side("memorax", f"ppo{short}")), target),),
        steps_per_second,
        thousands,
    )


def millions(ours: float, *_: float) -> float:
    return ours / 1e6


def random_play(short: str) -> Table:
    """Random actions."""
    return Table(
        "j",
        "Random actions",
        "Steps per second, in thousands, of 4,096 copies, resets and the drawing of actions included.",
        ("farback",),
        (
            Row(
                "TMaze(50)",
                (Side("agents", f"random --env 'TMaze(50)'{short}"),),
                Target(millions, 10.0, at_least=True, form="{:.1f} M"),
            ),
        ),
        steps_per_second,
        thousands,
    )


def ten_agents(short: str) -> Table:
    """The cost of ten seeds of an agent."""

    def row(name: str, case: str) -> Row:
        ten = Side("agents", f"ppo {case} --seeds 10 --devices 2{short}")
        return Row(name, (ten, Side("agents", f"ppo {case}{short}")), Target(ratio, 4.0, at_least=False))

    return Table(
        "j",
        "Ten agents against one",
        "Milliseconds per update of PPO on `TMaze(20)`; ten seeds run on two devices, one seed on one.",
        ("ten seeds", "one seed"),
        (
            row("GRU 64, 64 copies, rollouts of 128", "--cell 'GRU(64)'"),
            row("GRU 16, 8 copies, rollouts of 32", "--cell 'GRU(16)' --copies 8 --rollout 32"),
        ),
        seconds,
        lambda found: f"{found['seconds'] * 1000:.1f}",
    )


def against_one_by_one(short: str) -> Table:
    """Strategies against a loop over trials."""

    def row(env: str, strategy: str, episodes: int, trials: int) -> Row:
        case = f"--env '{env}' --strategy '{strategy}' --episodes {episodes}{short}"
        ours = Side("strategies", f"together {case} --trials 10000")
        theirs = Side("strategies", f"one-by-one {case} --trials {trials}")
        return Row(f"{strategy}, {env}, {episodes} episodes", (ours, theirs), Target(ratio, 50.0, True, "{:.0f}×"))

    return Table(
        "k",
        "Strategies against one trial after the other",
        "Trials per second: 10,000 trials in one compiled program, against a NumPy loop over the steps of each trial.",
        ("farback", "one by one"),
        (
            row("Bandit(10)", "UCB1(0.2)", 100, 100),
            row("Bandit(10)", "Thompson()", 100, 100),
            row("TabularMDP()", "Thompson()", 10, 10),
        ),
        lambda found: found["trials_per_second"],
        lambda found: f"{found['trials_per_second']:,.0f}",
    )


def learning_to_learn(short: str) -> Table:
    """The parts of the time of RL²."""
    small = " --trials 16" if short else ""
    bandit = "update --env 'PreviousActionReward(Trials(Bandit(10), 100), none=False)'"
    agents = {
        "PPO, GRU 256": "--cell 'GRU(256)' --algorithm ppo --words 'gamma=0.99 gae_lambda=0.3'",
        "TRPO, GRU 256 with ReLU and normalised weights": "",
    }
    return Table(
        "k",
        "RL²: steps per second, and where the time goes",
        "100 pulls of 10 arms, 256 trials per update; policy and value have a memory each. The time is split into acting, "
        "one gradient by backpropagation, and the rest: PPO's other passes, and TRPO's conjugate gradients and line "
        "search.",
        ("farback",),
        tuple(Row(name, (Side("rl2", f"{bandit} {agent}{small}{short}"),)) for name, agent in agents.items()),
        steps_per_second,
        lambda found: (
            f"{found['steps_per_second']:,.0f}: acting {found['acting']:.0%}, a gradient {found['gradient']:.0%}, the rest "
            f"{found['rest']:.0%}"
        ),
        once=True,
    )


def milliseconds(ours: float, *_: float) -> float:
    return 1000 * ours


def update_of_memory(short: str) -> Table:
    """MemUP's update."""
    case = Side("memup", f"update{' --corridor 50' if short else ''}{short}")
    return Table(
        "l",
        "One update of MemUP",
        "The time per update of a pass through 64 episodes of the T-maze LNR-1000, which are played, scored and learnt "
        "from; gradients of one step.",
        ("farback",),
        (Row("LSTM 256, batch 64", (case,), Target(milliseconds, 2.0, False, "{:.2f} ms")),),
        seconds,
        lambda found: f"{1000 * found['seconds']:.2f} ms",
    )


def solving(quick: bool) -> Table:
    """MemUP and a policy, from scratch."""

    def row(corridor: int, passes: int, most: float) -> Row:
        sizes = "--units 8 --passes 1 --rollouts 1" if quick else f"--passes {passes}"
        case = Side("memup", f"solve --corridor {corridor} {sizes}")
        return Row(f"T-maze LNR-{corridor}", (case,), Target(float, most, False, "{:.0f} s"))

    return Table(
        "l",
        "From scratch to a policy with a memory",
        "MemUP trains a memory of 128 units with gradients of one step, and then PPO trains a policy that reads it; "
        "compiling included. The optimum is 4; the best memoryless policy gets 0.5.",
        ("farback",),
        (row(100, 150, 60.0), row(1000, 40, 600.0)),
        seconds,
        lambda found: f"{found['seconds']:.0f} s, return {found['return']:.2f}",
        once=True,
    )


def attending(quick: bool) -> Table:
    """The gradient of a transformer's window."""
    sizes = " --units 8 --layers 1 --batch 2 --steps 10 --seconds 0.1" if quick else ""
    sides = tuple(Side("memup", f"attention --stepwise {stepwise}{sizes}") for stepwise in (0, 1))
    return Table(
        "l",
        "One gradient of a transformer",
        "GTrXL with 4 layers of 128 units, which attends to a whole window of 120 steps; batch 64.",
        ("at once", "step by step"),
        (Row("GTrXL", sides, Target(inverse_ratio, 5.0, True, "{:.1f}×")),),
        seconds,
        in_seconds,
    )


def products(short: str) -> Table:
    """The speed of matrix products on this machine."""
    return Table(
        "k",
        "Matrix products of the size of a GRU's step",
        "Billions of additions and multiplications per second: [256, 256] times [256, 768], repeatedly.",
        ("farback",),
        (Row("256 sequences, GRU 256", (Side("rl2", f"product{short}"),)),),
        lambda found: found["operations_per_second"],
        lambda found: f"{found['operations_per_second'] / 1e9:.0f}",
    )
