"""`python -m minilm_jax` is `minilm-jax`."""

from minilm_jax.cli import main

if __name__ == "__main__":
    main()
