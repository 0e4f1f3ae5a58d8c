"""Scenarios that the engine plays by rules of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from farback.envs.doom.engine import Engine, EngineDiedError
from farback.envs.doom.pictures import shrunk


class Scenario(NamedTuple):
    """What an engine plays.

    - `archive`: the WAD, or the configuration of a scenario that the package has.
    - `buttons`: the names of the buttons; those of the scenario, if it has a configuration.
    - `actions`: the values of the buttons for each action.
    - `tics`: the tics of a step, each of 1/35 second.
    - `horizon`: the steps after which an episode is truncated; `None` for those of the scenario.
    - `size`: the height and the width of the pictures.
    - `settings`: settings of the game, such as `living_reward=1.0` for each tic.
    """

    archive: bytes | Path
    buttons: Sequence[str]
    actions: Sequence[Sequence[float]]
    tics: int
    horizon: int | None
    size: tuple[int, int]
    settings: Mapping[str, Any]


class DoomScenario(gymnasium.Env[Any, Any]):
    """Episodes of a scenario."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.observation_space = Box(0, 255, (*scenario.size, 3), np.uint8)
        self.action_space = Discrete(len(scenario.actions))
        self.engine = Engine(scenario.archive, scenario.buttons, settings=scenario.settings)
        self.picture = np.zeros(self.observation_space.shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.time = 0
        self.engine.begin(int(self.np_random.integers(2**31)))
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        try:
            reward = self.engine.act(self.scenario.actions[int(action)], self.scenario.tics)
        except EngineDiedError:
            return self.picture, 0.0, False, True, {}
        ended, late = self.engine.ended, self.time == self.scenario.horizon or self.engine.late
        return self._look(), reward, ended and not late, late, {}

    def close(self) -> None:
        self.engine.close()

    def _look(self) -> np.ndarray:
        screen = self.engine.screen()
        if screen is not None:
            self.picture = shrunk(screen, *self.scenario.size)
        return self.picture
