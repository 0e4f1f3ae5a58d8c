"""Gymnasium's vector environments, whose episodes end and begin as everywhere here."""

import importlib
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv

from engram.envs.base import Feedback
from engram.envs.spaces import contains, names, parts
from engram.types import InputError

PACKAGES = {
    "ALE/": ("ale_py", "ale-py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "popgym-": ("popgym", "popgym"),
    "Vizdoom": ("vizdoom.gymnasium_wrapper", "vizdoom"),
}
"""How names begin that are known once a module was imported; this, and the package that it comes with."""


class Copies:
    """A vector environment, whose episodes end and begin as in `Play`."""

    def __init__(self, venv: VectorEnv[Any, Any, Any]):
        mode = venv.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise InputError(
                f"Gymnasium(make): metadata['autoreset_mode'] of what it makes is {mode!r}, so that nobody knows when "
                f"episodes begin; set it to a gymnasium.vector.AutoresetMode."
            )
        self.venv = venv

    def start(self, seed: int) -> Any:
        """The first observations; leading axis `[copies]`."""
        return _observed(self.venv, self.venv.reset(seed=seed)[0])

    def play(self, over: Any, actions: Any) -> tuple[Any, Feedback]:
        """The observations that actions lead to, and what came of them, where copies are over or not."""
        venv = self.venv
        mode = venv.metadata["autoreset_mode"]
        seen, *feedback, info = venv.step(_allowed(venv.single_action_space, actions))
        reward, terminated, truncated = (
            _one_each(venv, what, values) for what, values in zip(Feedback._fields, feedback, strict=True)
        )
        feedback = Feedback(reward * ~over, terminated & ~over, truncated & ~over & ~terminated)
        ended = feedback.terminated | feedback.truncated
        if mode is AutoresetMode.SAME_STEP and ended.any():
            seen = _finally(seen, ended, info)
        again = {AutoresetMode.NEXT_STEP: np.zeros_like(over), AutoresetMode.SAME_STEP: over}.get(mode, over | ended)
        if again.any():
            seen = _reset(venv, seen, again, over, ended)
        return _observed(venv, seen), feedback


def _allowed(space, actions):
    """Actions in their space: of numbers, those that are nearest."""
    if isinstance(space, Box):
        if not np.isfinite(actions).all():
            raise InputError(
                "A model's actions are NaN or infinite: it diverged; learn from its last checkpoint, more slowly."
            )
        actions = np.clip(actions, space.low, space.high)
    return np.asarray(actions, space.dtype)


def _finally(seen, ended, info):
    """The observations, with the last ones where episodes ended."""
    if "final_obs" not in info:
        raise InputError("Gymnasium(make): an episode ended in the SAME_STEP mode, but info has no 'final_obs'; add it.")
    last = jax.tree.map(lambda *rows: np.stack(rows), *info["final_obs"][ended])
    return jax.tree.map(lambda values, rows: _placed(values, ended, rows), seen, last)


def _reset(venv, seen, again, over, ended):
    """Begins again in some copies; gives the observations, with first ones where copies were over."""
    fresh = venv.reset(options={"reset_mask": again})[0]
    others = ~over & ~ended

    def one(before, after):
        if not np.array_equal(before[others], after[others]):
            raise InputError(
                "Gymnasium(make): reset(options={'reset_mask': mask}) resets more copies than mask says; give a vector "
                "environment whose autoresets are of the next step."
            )
        return _placed(before, over, after[over])

    return jax.tree.map(one, seen, fresh)


def _placed(values, where, rows):
    """New values, with these rows in some places."""
    values = np.array(values)
    values[where] = rows
    return values


def _observed(venv, seen):
    """Observations, after making sure that they are some."""
    space = venv.single_observation_space
    called = names(space)
    if jax.tree.structure(seen) != jax.tree.structure(called):
        raise InputError(f"{_name(venv)} shows {jax.tree.map(np.shape, seen)} (shapes), which is not of {space}.")
    for (part, values), (_, where) in zip(parts(space, seen), parts(space, called), strict=True):
        _look(part, np.asarray(values), venv.num_envs, f"{_name(venv)} shows observation{where}")
    return seen


def _look(space, values, copies, shows):
    """Refuses what is no observation of a simple space; of numbers, bounds are not looked at."""
    numbers, shape = isinstance(space, Box), (copies, *(space.shape or ()))
    if values.shape != shape:
        raise InputError(f"{shows} of shape {values.shape}, but {space} means {shape}.")
    if numbers and np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        copy = int(np.argwhere(~np.isfinite(values))[0][0])
        raise InputError(f"{shows} = {values[copy]!r} in copy {copy}: give finite numbers.")
    if not (values.dtype.kind in "biuf" if numbers else contains(space, values, (copies,))):
        raise InputError(f"{shows} = {values!r} of dtype {values.dtype}, which is not in {space}.")


def _one_each(venv, what, values) -> Any:
    """A reward or an end of each copy."""
    values = np.asarray(values)
    if values.shape != (venv.num_envs,):
        raise InputError(
            f"{_name(venv)} gives {what} of shape {values.shape}: give one for each of {venv.num_envs} copies."
        )
    if what == "reward" and not np.isfinite(values).all():
        copy = int(np.argmin(np.isfinite(values)))
        raise InputError(f"{_name(venv)} gives the reward {values[copy]} in copy {copy}: rewards are finite.")
    return values.astype(float if what == "reward" else bool)


def _name(venv):
    return type(venv.unwrapped).__name__ if venv.spec is None else venv.spec.id


def by_name(name: str, copies: int) -> VectorEnv[Any, Any, Any]:
    """So many copies of an environment that Gymnasium knows by name.

    Packages that Gymnasium does not come with are imported where they are known, such as ale-py for `ALE/Pong-v5`.
    """
    known = next((known for start, known in PACKAGES.items() if name.startswith(start)), None)
    try:
        if known is not None:
            importlib.import_module(known[0])
        return gymnasium.make_vec(name, copies)
    except ModuleNotFoundError as error:
        package = known[1] if known is not None else error.name
        raise InputError(f"{name} needs the package {package}, which is missing: pip install {package}.") from None
    except gymnasium.error.DependencyNotInstalled as error:
        raise InputError(f"{name}: {error}") from None
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise InputError(
            f"Gymnasium does not know {name}: {error} Give a name of gymnasium.pprint_registry(), after importing the "
            f"package that it comes with."
        ) from None
