"""The programs that are compiled during a test."""

import pytest

from minilm_jax.runtime.compiler import Compiler


def record_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives the name of every program compiled from now on."""
    made: list[str] = []
    compile_ = Compiler._compile
    monkeypatch.setattr(
        Compiler, "_compile", lambda self, name, *rest: (made.append(name), compile_(self, name, *rest))[1]
    )
    return made
