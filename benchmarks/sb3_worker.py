"""The worker for sb3-contrib: RecurrentPPO on Farback's environments, through Gymnasium."""

import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from worker import answer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from farback.envs import Maze, TMaze
from farback.envs.bridges.to_gymnasium import GymVectorEnv


class Copies(VecEnv):
    """A vector environment of Farback, one compiled program for all copies, as a `VecEnv` of SB3.

    `set_attr` and `env_method` are not implemented: training calls neither.
    """

    def __init__(self, copies: GymVectorEnv):
        self.copies = copies
        super().__init__(copies.num_envs, copies.single_observation_space, copies.single_action_space)

    def reset(self):
        return self.copies.reset(seed=0)[0]

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        seen, reward, terminated, truncated, _ = self.copies.step(self.actions)
        over, infos = terminated | truncated, [{} for _ in reward]
        if over.any():
            for index in np.flatnonzero(over):
                infos[index] = {"terminal_observation": seen[index], "TimeLimit.truncated": bool(truncated[index])}
            fresh = self.copies.reset(options={"reset_mask": over})[0]
            seen = np.where(over.reshape(-1, *(seen.ndim - 1) * [1]), fresh, seen)
        return seen, reward, over, infos

    def close(self):
        self.copies.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.copies, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name, value, indices=None):
        raise NotImplementedError

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False for _ in self._get_indices(indices)]


def ppo(
    corridor: int,
    together: int,
    copies: int,
    rollout: int,
    epochs: int,
    minibatches: int,
    units: int,
    updates: int,
    threads: int,
):
    """Updates of RecurrentPPO: an LSTM that policy and value share, a linear layer for each.

    Copies of the environment are stepped one by one, as made by `gymnasium.make`, or together in one compiled program.
    """
    torch.set_num_threads(threads)

    def make():
        return gymnasium.make("farback/TMaze-v0", corridor=corridor)

    env = Copies(GymVectorEnv(TMaze(corridor), copies)) if together else DummyVecEnv([make] * copies)
    agent = RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=rollout,
        batch_size=copies * rollout // minibatches,
        n_epochs=epochs,
        policy_kwargs={"lstm_hidden_size": units, "net_arch": [], "shared_lstm": True, "enable_critic_lstm": False},
        device="cpu",
    )
    return timed(agent, copies * rollout, updates)


def timed(agent: RecurrentPPO, steps: int, updates: int):
    """The time of an update, after a first one."""
    agent.learn(steps)
    start = time.perf_counter()
    agent.learn(updates * steps, reset_num_timesteps=False)
    took = (time.perf_counter() - start) / updates
    return {"seconds": took, "steps_per_second": steps / took}


class SmallConv(BaseFeaturesExtractor):
    """The convolutions of RL²."""

    def __init__(self, space: gymnasium.Space, features: int):
        super().__init__(space, features)
        channels, height, width = space.shape
        for _ in range(2):
            height, width = (height - 5) // 2 + 1, (width - 5) // 2 + 1
        layers = [torch.nn.Conv2d(channels, 16, 5, 2), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 5, 2), torch.nn.ReLU()]
        last = [torch.nn.Flatten(), torch.nn.Linear(16 * height * width, features), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers, *last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def seen(copies: int, rollout: int, epochs: int, minibatches: int, units: int, features: int, updates: int, threads: int):
    """Updates of RecurrentPPO in mazes that are seen, all copies in one compiled program."""
    torch.set_num_threads(threads)
    agent = RecurrentPPO(
        "CnnLstmPolicy",
        Copies(GymVectorEnv(Maze(), copies)),
        n_steps=rollout,
        batch_size=copies * rollout // minibatches,
        n_epochs=epochs,
        policy_kwargs={
            "lstm_hidden_size": units,
            "net_arch": [],
            "shared_lstm": True,
            "enable_critic_lstm": False,
            "features_extractor_class": SmallConv,
            "features_extractor_kwargs": {"features": features},
        },
        device="cpu",
    )
    return timed(agent, copies * rollout, updates)


if __name__ == "__main__":
    sizes = {"corridor": 20, "together": 0, "copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4, "units": 64}
    images = {"copies": 64, "rollout": 128, "epochs": 4, "minibatches": 4, "units": 256, "features": 256}
    cases = {
        "ppo": (ppo, {**sizes, "updates": 4, "threads": 2}),
        "seen": (seen, {**images, "updates": 2, "threads": 2}),
    }
    answer(cases, "sb3-contrib", "stable-baselines3", "torch")
