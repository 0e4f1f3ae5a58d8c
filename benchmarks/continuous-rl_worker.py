"""The worker for the authors' code of deep advantage updating, github.com/ctallec/continuous-rl, in a checkout of yours.

Their agent acts and learns unchanged. Pendulum is stepped as one array here, in place of their process for each copy, which
is faster; and nothing is logged. Their `gym` is Gymnasium, of which they use the spaces.
"""

import sys
import types

import gymnasium
import numpy as np
import torch
from worker import answer, median_seconds


def stand_ins() -> None:
    """Puts modules in the place of those that the authors import and that no longer install."""
    log = types.ModuleType("mylog")
    log.log = lambda *_: None
    sys.modules |= {"gym": gymnasium, "gym.spaces": gymnasium.spaces, "mylog": log}


class Pendulums:
    """Copies of Gymnasium's pendulum, with actions between −1 and 1."""

    def __init__(self, copies: int, dt: float):
        draws = np.random.default_rng(0).uniform(-1, 1, (2, copies))
        self.angle, self.velocity, self.dt = np.pi * draws[0], draws[1], dt

    def observe(self) -> np.ndarray:
        return np.stack([np.cos(self.angle), np.sin(self.angle), self.velocity], axis=1)

    def step(self, action: np.ndarray) -> np.ndarray:
        torque, angle = 2 * np.clip(action[:, 0], -1, 1), (self.angle + np.pi) % (2 * np.pi) - np.pi
        reward = -(angle**2 + 0.1 * self.velocity**2 + 0.001 * torque**2)
        self.velocity = np.clip(self.velocity + (15 * np.sin(self.angle) + 3 * torque) * self.dt, -8, 8)
        self.angle = self.angle + self.velocity * self.dt
        return reward


def dau(checkout: str, copies: int, window: int, gradients: int, batch: int, units: int, dt: float, seconds: float):
    """An update: `window` steps of all copies, then `gradients` gradient steps."""
    stand_ins()
    sys.path.insert(0, f"{checkout}/code")
    from actors.off_policy.approximate import ApproximateActor
    from agents.off_policy.offline_agent import OfflineAgent
    from critics.off_policy.advantage import AdvantageCritic
    from noises.coherent import CoherentNoise

    torch.manual_seed(0)
    words = {
        "dt": dt,
        "gamma": 0.8,
        "optimizer": "rmsprop",
        "action_space": gymnasium.spaces.Box(-1, 1, (1,)),
        "observation_space": gymnasium.spaces.Box(-8, 8, (3,)),
        "nb_layers": 1,
        "hidden_size": units,
        "normalize": False,
        "weight_decay": 0.0,
        "noise": CoherentNoise(7.5, 1.5, dt, False),
        "tau": 0.0,
    }
    critic = AdvantageCritic.configure(lr=0.1, **words)
    actor = ApproximateActor.configure(lr=0.02, **words)
    agent = OfflineAgent(1_000_000, batch, window, gradients, None, None, actor, critic)
    envs = Pendulums(copies, dt)
    done = np.zeros(copies, bool)

    def run():
        for _ in range(window):
            reward = envs.step(agent.step(envs.observe()))
            agent.observe(envs.observe(), reward, done)

    for _ in range(3):  # until it learns
        run()
    took = median_seconds(run, seconds)
    return {"seconds": took, "steps_per_second": copies * window / took}


if __name__ == "__main__":
    sizes = {"copies": 256, "window": 10, "gradients": 50, "batch": 256, "units": 256, "dt": 0.01, "seconds": 10.0}
    answer({"dau": (dau, {"checkout": "continuous-rl", **sizes})}, "torch", "numpy")
