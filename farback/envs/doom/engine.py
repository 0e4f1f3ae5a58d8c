"""The engine of ViZDoom: a process that is steered, seen, and started again if it dies."""

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from farback.types import InputError

LONGEST_PATH = 119
"""The most characters of the path of an archive. With more, or with a space, the engine hangs."""
MISSING = "Doom(scenario) needs the package vizdoom, which is missing: pip install 'farback[vizdoom]'."


def vizdoom() -> Any:
    """The package, or an error that says how to install it."""
    try:
        import vizdoom
    except ModuleNotFoundError:
        raise InputError(MISSING) from None
    return vizdoom


class EngineDiedError(Exception):
    """The engine has ended, and was started again."""


class Engine:
    """An engine with its archive. Its directory is removed with it, and its process ends with this one.

    **Arguments:**

    - `archive`: the WAD, or the configuration of a scenario that the package has.
    - `buttons`: the names of the buttons that actions have values for; those of the scenario, if it has a configuration.
    - `settings`: other settings of the game, by the name of their method: `living_reward=1.0`.
    """

    def __init__(
        self,
        archive: bytes | Path,
        buttons: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ):
        self.archive, self.buttons = archive, buttons
        self.settings = settings or {}
        self.home = Path(tempfile.mkdtemp(prefix="fb"))
        self.games: list[Any] = []
        self.close = weakref.finalize(self, _end, self.games, self.home)
        if len(str(self.map)) > LONGEST_PATH or " " in str(self.map):
            raise InputError(
                f"The directory of temporary files, '{tempfile.gettempdir()}', is no place for a map of Doom: its path has "
                f"at most {LONGEST_PATH} characters, and no space. Set TMPDIR to a shorter one."
            )
        self.dead = False
        self._start()

    @property
    def game(self) -> Any:
        """The running game."""
        return self.games[-1]

    @property
    def map(self) -> Path:
        """The file of the map that an episode begins with, if it is not that of the archive."""
        return self.home / "map.wad"

    def load(self, archive: bytes) -> None:
        """Changes the map to that of an archive with no other lumps. It is read when the next episode begins."""
        self.map.write_bytes(archive)
        self.game.set_doom_map(f"file:{self.map}")

    def begin(self, seed: int) -> None:
        """Begins an episode, if need be in a new engine."""
        try:
            self._begin(seed)
        except EngineDiedError:
            self._begin(seed)

    def _begin(self, seed: int) -> None:
        with self._alive():
            self.game.set_seed(seed)
            self.game.new_episode()

    def act(self, values: Sequence[float], tics: int, command: str = "") -> float:
        """Holds buttons for a number of tics, each of 1/35 second, and returns the reward."""
        with self._alive():
            if command:
                self.game.send_game_command(command)
            reward = self.game.make_action(list(values), tics)
        self.dead = False
        return reward

    @property
    def ended(self) -> bool:
        """Whether the episode has ended."""
        return self.game.is_episode_finished()

    @property
    def late(self) -> bool:
        """Whether the episode has ended at the time limit of the scenario."""
        return self.game.is_episode_timeout_reached()

    def screen(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """The picture, or `None` after the end of the episode."""
        state = self.game.get_state()
        return None if state is None else state.screen_buffer

    @contextlib.contextmanager
    def _alive(self):
        """Starts an engine that died again; if the new one dies in its first step, that is an error."""
        package = vizdoom()
        try:
            yield
        except (package.ViZDoomErrorException, package.ViZDoomUnexpectedExitException) as error:
            if self.dead:
                raise InputError(
                    f"The engine of Doom died twice in a row ({error}). The same command resumes the run."
                ) from None
            print(f"The engine of Doom died ({error}); it is started again, and the episode is truncated.", file=sys.stderr)
            self.dead = True
            self.games.pop().close()
            self._start()
            raise EngineDiedError from None

    def _start(self) -> None:
        package = vizdoom()
        game = package.DoomGame()
        game.set_vizdoom_path(str(self._launcher(Path(package.__file__).parent / "vizdoom")))
        game.set_doom_config_path(str(self.home / "engine.ini"))
        if isinstance(self.archive, Path):
            game.load_config(str(self.archive))
        else:
            scenario = self.home / "scenario.wad"
            scenario.write_bytes(self.archive)
            game.set_doom_scenario_path(str(scenario))
            game.set_doom_map(f"file:{self.map}" if self.map.exists() else "MAP01")
            game.set_available_buttons([getattr(package.Button, name) for name in self.buttons])
        game.set_screen_resolution(package.ScreenResolution.RES_160X120)
        game.set_screen_format(package.ScreenFormat.RGB24)
        for part in ("hud", "weapon", "crosshair", "decals", "particles", "messages", "screen_flashes", "corpses"):
            getattr(game, f"set_render_{part}")(False)
        game.add_game_args("+cl_showsecretmessage 0")  # it would cover the picture
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(package.Mode.PLAYER)
        for name, value in self.settings.items():
            getattr(game, f"set_{name}")(value)
        game.init()
        self.games.append(game)

    def _launcher(self, binary: Path) -> Path:
        """A script that starts the engine such that it ends when this process does, however that ends."""
        script, setpriv = self.home / "engine.sh", shutil.which("setpriv")
        before = f"{setpriv} --pdeathsig KILL " if setpriv else ""
        script.write_text(f'#!/bin/sh\nexec {before}{shlex.quote(str(binary))} "$@"\n')
        os.chmod(script, 0o700)
        return script


def _end(games: list[Any], home: Path) -> None:
    for game in games:
        game.close()
    shutil.rmtree(home, ignore_errors=True)
