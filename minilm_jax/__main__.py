"""Entry point of `python -m minilm_jax`, which is the same as `minilm-jax`."""

from minilm_jax.cli import main

if __name__ == "__main__":
    main()
