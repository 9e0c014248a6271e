"""Fixtures that replace the model of the commands."""

import pytest

from minilm_jax.cli import model_command
from tests.helpers.stub_encoder import StubEncoder


@pytest.fixture
def stub_encoder(monkeypatch: pytest.MonkeyPatch) -> StubEncoder:
    """The encoder that commands load in place of the model."""
    stub = StubEncoder()
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: stub)
    return stub


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a command loads the model."""
    for load in ("load_encoder", "load_cross_encoder"):
        monkeypatch.setattr(model_command, load, lambda *_: pytest.fail("the model was loaded"))
