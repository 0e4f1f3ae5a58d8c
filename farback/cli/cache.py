"""The cache of compiled programs on disk."""

import os
from pathlib import Path

import jax


def cache_directory() -> Path:
    """Returns the directory: `JAX_COMPILATION_CACHE_DIR`, or a folder of the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", home / "farback" / "xla"))


def use_compilation_cache() -> None:
    """Makes JAX store every compiled program."""
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
