"""Compiled programs, kept between processes."""

import os
from pathlib import Path

import jax


def cache_directory() -> Path:
    """Where they are kept: `JAX_COMPILATION_CACHE_DIR`, or a folder of the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", home / "engram" / "xla"))


def use_compilation_cache() -> None:
    """Keeps every program that is compiled."""
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
