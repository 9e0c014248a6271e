"""An interrupt during an import leaves a complete module."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from minilm_jax.imports import import_completely


def test_interrupted_import_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\ncomplete = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        import_completely("slow_to_import")
    assert sys.modules.pop("slow_to_import").complete


def test_failed_import_raises_its_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_completely("no_such_module")
