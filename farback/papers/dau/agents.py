"""Deep advantage updating and its rivals over time steps, as arguments."""

from collections.abc import Mapping

from farback.papers.engine.runs import Training, Words, configured

SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
REFERENCE = 0.02
"""The time step whose learning rates, rewards and noise the unscaled forms have."""
COPIES = Words(num_envs=256, window=10, gradient_steps=50, batch_size=256, buffer_size=1_000_000, learning_starts=2_560)

PENDULUM, CARTPOLE = "Pendulum(dt={})", "CartPole(dt={})"


def dau(env: str, dt: float) -> Words:
    """Deep advantage updating."""
    return Words(algorithm="dau", env=f"PerSecond({env.format(dt)})", value_learning_rate=0.1, policy_learning_rate=0.02)


def q_learning(env: str, dt: float, smoothing: float, rates: float, noise: float) -> Words:
    """DDPG or, for discrete actions, DQN.

    **Arguments:**

    - `smoothing`: the part of the target network that stays at each gradient step.
    - `rates`: the time step that rewards and learning rates are for.
    - `noise`: the time step that the noise is for.
    """

    def rmsprop(rate: float) -> str:
        return f"rmsprop({rate * rates:g}, decay={1 - rates:g}, eps_in_sqrt=False)"

    words = Words(env=f"PerSecond({env.format(dt)}, {rates:g})", gamma=0.8**dt, target_rate=1 - smoothing)
    words |= Words(exploration=f"OrnsteinUhlenbeck(7.5, 1.5, {noise:g}, reset=False)", optimizer=rmsprop(0.1))
    if env == CARTPOLE:
        return words | Words(algorithm="dqn", double=False, sequence_length=1)
    return words | Words(algorithm="ddpg", policy_optimizer=rmsprop(0.02), critic_layer_norm=True, sequence_length=1)


def rivals(env: str, dt: float) -> Mapping[str, Words]:
    """The forms of Q-learning."""
    name = "DQN" if env == CARTPOLE else "DDPG"
    return {
        f"{name}, unscaled": q_learning(env, dt, 0.9, REFERENCE, REFERENCE),
        f"{name}, unscaled, no target network": q_learning(env, dt, 0.0, REFERENCE, REFERENCE),
        f"{name}, unscaled but its noise": q_learning(env, dt, 0.9, REFERENCE, dt),
        f"{name}, scaled": q_learning(env, dt, 0.9, dt, dt),
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
