"""The progress bar of a run, with its loss, its rate and the time left."""

from minilm_jax.progress import HiddenBar, progress_bar


class TrainingProgress:
    """A bar over the steps of a run; a context manager."""

    def __init__(self, steps: int, done: int, show: bool | None) -> None:
        """Create the bar.

        Args:
            steps: Number of steps in all.
            done: Steps that an earlier process finished.
            show: Whether to show the bar; None shows it on a terminal only.
        """
        self._bar = progress_bar(steps, show, unit="step")
        self._done = done

    def __enter__(self) -> "TrainingProgress":
        self._bar.__enter__()
        self._bar.update(self._done)
        return self

    def __exit__(self, *details: object) -> None:
        self._bar.__exit__(*details)  # pyright: ignore[reportArgumentType] tqdm ignores them

    def update(self, loss: float) -> None:
        """Count a step."""
        if not isinstance(self._bar, HiddenBar):
            self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self._bar.update(1)
