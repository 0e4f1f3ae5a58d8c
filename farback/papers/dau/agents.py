"""Deep advantage updating and its rivals over time steps, as arguments."""

from collections.abc import Mapping
from typing import NamedTuple

from farback.papers.engine.runs import Training, Words, configured

SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
REFERENCE = 0.02
"""The time step whose learning rates, rewards and noise the unscaled forms have."""
EPISODES = 64
"""The episodes of an evaluation."""
COPIES = Words(num_envs=256, window=10, gradient_steps=50, batch_size=256, buffer_size=1_000_000, learning_starts=2_560)


class World(NamedTuple):
    """An environment at any time step.

    - `env`: the environment as an expression, with `{dt}` and perhaps `{physics}`.
    - `usual`: the time step of Gymnasium. Returns are shown as there, whatever the time step is.
    - `discrete`: whether actions are discrete.
    - `policy_rate`: the learning rate of the policy.
    - `words`: arguments of every agent.
    """

    env: str
    usual: float
    discrete: bool = False
    policy_rate: float = 0.02
    words: Mapping[str, str] = {}

    def at(self, dt: float, seconds: float | None = None) -> str:
        """The environment with rewards as rates, times `seconds`, by default the time step."""
        return f"PerSecond({self.env.replace('{dt}', f'{dt:g}')}{'' if seconds is None else f', {seconds:g}'})"

    def with_physics(self, step: float) -> "World":
        """The world with a duration of the steps of its physics."""
        return self._replace(env=self.env.replace("{physics}", f"{step:g}"))


def body(name: str, usual: float, policy_rate: float, physics: str = "") -> World:
    """A body of Gymnasium, whose episodes last 10 seconds and whose observations are normalised."""
    env = f'Gymnasium("{name}", dt={{dt}}, seconds=10.0{physics})'
    return World(env, usual, policy_rate=policy_rate, words={"encoder": "Normalize()"})


PENDULUM, CARTPOLE = World("Pendulum(dt={dt})", 0.05), World("CartPole(dt={dt})", 0.02, discrete=True)
WALKER = body("BipedalWalker-v3", 0.02, 0.02)
CHEETAH, ANT = (body(name, 0.05, 0.03, ", physics_step={physics}") for name in ("HalfCheetah-v5", "Ant-v5"))


def dau(world: World, dt: float) -> Words:
    """Deep advantage updating."""
    return Words(algorithm="dau", env=world.at(dt), value_learning_rate=0.1, policy_learning_rate=world.policy_rate)


def q_learning(world: World, dt: float, smoothing: float, rates: float, noise: float) -> Words:
    """DDPG or, for discrete actions, DQN.

    **Arguments:**

    - `smoothing`: the part of the target network that stays at each gradient step.
    - `rates`: the time step that rewards and learning rates are for.
    - `noise`: the time step that the noise is for.
    """

    def rmsprop(rate: float) -> str:
        return f"rmsprop({rate * rates:g}, decay={1 - rates:g}, eps_in_sqrt=False)"

    words = Words(env=world.at(dt, rates), gamma=0.8**dt, target_rate=1 - smoothing, sequence_length=1)
    words |= Words(exploration=f"OrnsteinUhlenbeck(7.5, 1.5, {noise:g}, reset=False)", optimizer=rmsprop(0.1))
    if world.discrete:
        return words | Words(algorithm="dqn", double=False)
    return words | Words(algorithm="ddpg", policy_optimizer=rmsprop(world.policy_rate), critic_layer_norm=True)


def rivals(world: World, dt: float) -> Mapping[str, Words]:
    """The forms of Q-learning."""
    name = "DQN" if world.discrete else "DDPG"
    return {
        f"{name}, unscaled": q_learning(world, dt, 0.9, REFERENCE, REFERENCE),
        f"{name}, unscaled, no target network": q_learning(world, dt, 0.0, REFERENCE, REFERENCE),
        f"{name}, unscaled but its noise": q_learning(world, dt, 0.9, REFERENCE, dt),
        f"{name}, scaled": q_learning(world, dt, 0.9, dt, dt),
    }


def sized(words: Words, cell: str, units: int, seeds: int) -> Words:
    """The arguments of a training with networks of a size."""
    size = {"dau": "advantage_size", "ddpg": "critic_size"}.get(words["algorithm"])
    words = COPIES | words | Words(cell=cell, seed=SEED, seeds=seeds)
    return words if size is None else words | {size: units}


def trained(words: Words, dt: float, hours: float, cell: str, units: int, seeds: int) -> Training:
    """A training for a number of physical hours, summed over all copies."""
    updates = max(2, round(3600 * hours / (dt * COPIES["num_envs"] * COPIES["window"])))
    return configured(updates=updates, rows=50, **sized(words, cell, units, seeds))
