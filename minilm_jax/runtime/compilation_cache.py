"""JAX's own compilation cache, for programs that users compile; `SentenceEncoder` has its own store."""

from pathlib import Path

import jax

from minilm_jax.checkpoints.cache import cache_folder


def enable_compilation_cache(folder: str | Path | None = None) -> Path:
    """Turn on JAX's own cache for this process, which stores all programs that JAX compiles, such as `jax.jit(embed)`.

    Files in this folder are run as code: only the user should be able to write to it.

    Args:
        folder: The folder for programs; by default `xla` in the cache folder of minilm-jax.

    Returns:
        The folder.
    """
    path = Path(folder) if folder is not None else cache_folder() / "xla"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path
