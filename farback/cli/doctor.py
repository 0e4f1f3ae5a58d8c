"""`farback doctor`."""

import dataclasses
import importlib.util
import platform
from importlib import metadata
from typing import Any

import jax
from rich.console import Console

from farback.cli.cache import cache_directory
from farback.cli.console import Json, show_table

PACKAGES = ("farback", "jax", "jaxlib", "equinox", "optax", "numpy")
EXTRAS = {"plots": "matplotlib", "tensorboard": "tensorboardX", "wandb": "wandb", "digits": "sklearn"}


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Show versions, devices and extras, and how to install the missing ones.

    Two examples that work:
      farback doctor
      farback doctor --json
    """

    json: Json = False

    def run(self) -> dict[str, Any]:
        versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
        devices = [" ".join(dict.fromkeys((device.platform, device.device_kind))) for device in jax.devices()]
        extras = {name: importlib.util.find_spec(package) is not None for name, package in EXTRAS.items()}
        cache = str(cache_directory())
        show_table("versions", ("package", "version"), versions.items())
        show_table(
            "extras",
            ("extra", "installed", "to install"),
            [
                (name, "yes" if there else "no", "" if there else f"pip install 'farback[{name}]'")
                for name, there in extras.items()
            ],
        )
        Console(stderr=True, highlight=False).print(f"devices: {', '.join(devices)}\ncompilation cache: {cache}")
        return {"versions": versions, "devices": devices, "extras": extras, "compilation_cache": cache}
