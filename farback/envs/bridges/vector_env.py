"""Gymnasium's vector environments with the auto-reset of `AutoResetState`."""

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv

from farback.envs.base import Feedback
from farback.envs.spaces import contains, mapped, names, parts
from farback.types import InputError

PACKAGES = {
    "ALE/": ("ale_py", "ale-py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "popgym-": ("popgym", "popgym"),
    "Vizdoom": ("vizdoom.gymnasium_wrapper", "vizdoom"),
}
"""For prefixes of ids: the module whose import registers them, and its package."""


class AutoResetVectorEnv:
    """A vector environment of Gymnasium whose episodes begin and end as in `AutoResetState`, in every autoreset mode."""

    def __init__(self, venv: VectorEnv[Any, Any, Any]):
        mode = venv.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise InputError(
                f"Gymnasium(make): metadata['autoreset_mode'] of the vector environment is {mode!r}, which does not define "
                f"when episodes begin; set it to a gymnasium.vector.AutoresetMode."
            )
        self.venv = venv

    def reset(self, seed: int) -> Any:
        """Returns the first observations; leading axis `[copies]`."""
        return _checked_observation(self.venv, self.venv.reset(seed=seed)[0])

    def step(self, last: Any, actions: Any) -> tuple[Any, Feedback]:
        """Returns the next observations and the feedback; copies at the `last` step of an episode begin the next one."""
        venv = self.venv
        mode = venv.metadata["autoreset_mode"]
        observation, *feedback, info = venv.step(_checked_actions(venv.single_action_space, actions))
        reward, terminated, truncated = (
            _checked_numbers(venv, which, values) for which, values in zip(Feedback._fields, feedback, strict=True)
        )
        feedback = Feedback(reward * ~last, terminated & ~last, truncated & ~last & ~terminated)
        ended = feedback.terminated | feedback.truncated
        if mode is AutoresetMode.SAME_STEP and ended.any():
            observation = _with_final(observation, ended, info)
        none = np.zeros_like(last)
        resets = {AutoresetMode.NEXT_STEP: none, AutoresetMode.SAME_STEP: last}.get(mode, last | ended)
        if resets.any():
            observation = _reset(venv, observation, resets, last, ended)
        return _checked_observation(venv, observation), feedback


def _checked_actions(space, actions):
    """Returns actions in the dtypes of their space; numbers are clipped to its bounds."""

    def one(space, actions):
        if isinstance(space, Box):
            if not np.isfinite(actions).all():
                raise InputError(
                    "The actions of a model are NaN or infinite: training diverged; resume from the last checkpoint with "
                    "a smaller learning rate."
                )
            actions = np.clip(actions, space.low, space.high)
        return np.asarray(actions, space.dtype)

    return mapped(one, space, actions)


def _with_final(observation, ended, info):
    """Returns the observations, with final ones where episodes ended."""
    if "final_obs" not in info:
        raise InputError("Gymnasium(make): an episode ended in the SAME_STEP mode, but info has no 'final_obs'; add it.")
    final = jax.tree.map(lambda *rows: np.stack(rows), *info["final_obs"][ended])
    return jax.tree.map(lambda values, rows: _replaced(values, ended, rows), observation, final)


def _reset(venv, observation, resets, last, ended):
    """Resets some copies; returns the observations, with first ones where `last`."""
    fresh = venv.reset(options={"reset_mask": resets})[0]
    others = ~last & ~ended

    def one(before, after):
        if not np.array_equal(before[others], after[others]):
            raise InputError(
                "Gymnasium(make): reset(options={'reset_mask': mask}) resets copies outside of mask; give a vector "
                "environment with the NEXT_STEP autoreset mode."
            )
        return _replaced(before, last, after[last])

    return jax.tree.map(one, observation, fresh)


def _replaced(values, where, rows):
    """Returns a copy of `values` with `rows` at the places `where`."""
    values = np.array(values)
    values[where] = rows
    return values


def _checked_observation(venv, observation):
    """Returns the observations, after checking their structure, shapes, dtypes and finiteness."""
    space = venv.single_observation_space
    paths = names(space)
    if jax.tree.structure(observation) != jax.tree.structure(paths):
        raise InputError(f"{_name(venv)} gives {jax.tree.map(np.shape, observation)} (shapes), which is not in {space}.")
    for (part, values), (_, path) in zip(parts(space, observation), parts(space, paths), strict=True):
        _check_part(part, np.asarray(values), venv.num_envs, f"{_name(venv)} gives observation{path}")
    return observation


def _check_part(space, values, copies, gives):
    """Checks observations of a simple space; bounds of numbers are not checked."""
    numbers, shape = isinstance(space, Box), (copies, *(space.shape or ()))
    if values.shape != shape:
        raise InputError(f"{gives} of shape {values.shape}, but {space} needs {shape}.")
    if numbers and np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        copy = int(np.argwhere(~np.isfinite(values))[0][0])
        raise InputError(f"{gives} = {values[copy]!r} in copy {copy}: give finite numbers.")
    if not (values.dtype.kind in "biuf" if numbers else contains(space, values, (copies,))):
        raise InputError(f"{gives} = {values!r} of dtype {values.dtype}, which is not in {space}.")


def _checked_numbers(venv, which, values) -> Any:
    """Returns the rewards or ends of all copies, after checking them."""
    values = np.asarray(values)
    if values.shape != (venv.num_envs,):
        raise InputError(
            f"{_name(venv)} gives {which} of shape {values.shape}: give one for each of {venv.num_envs} copies."
        )
    if which == "reward" and not np.isfinite(values).all():
        copy = int(np.argmin(np.isfinite(values)))
        raise InputError(f"{_name(venv)} gives the reward {values[copy]} in copy {copy}: rewards are finite.")
    return values.astype(float if which == "reward" else bool)


def _name(venv):
    return type(venv.unwrapped).__name__ if venv.spec is None else venv.spec.id


def make_vector_env(name: str, copies: int) -> VectorEnv[Any, Any, Any]:
    """Returns a vector environment by its id in the registry of Gymnasium."""
    with registered(name):
        return gymnasium.make_vec(name, copies)


@contextmanager
def registered(name: str) -> Generator[None]:
    """Within it, an id may be looked up: errors are `InputError`s.

    Ids of well-known packages, such as `ALE/Pong-v5` of ale-py, are registered by importing their package.
    """
    known = next((known for prefix, known in PACKAGES.items() if name.startswith(prefix)), None)
    try:
        if known is not None:
            importlib.import_module(known[0])
        yield
    except ModuleNotFoundError as error:
        package = known[1] if known is not None else error.name
        raise InputError(f"{name} needs the package {package}, which is missing: pip install {package}.") from None
    except gymnasium.error.DependencyNotInstalled as error:
        raise InputError(f"{name}: {error}") from None
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise InputError(
            f"Gymnasium has no environment {name}: {error} Give an id of gymnasium.pprint_registry(), after importing its "
            f"package."
        ) from None
