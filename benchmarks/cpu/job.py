"""`python -m benchmarks.cpu.job`: embed the texts of a file once, as a script that uses the library would."""

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Load the module of a contender and embed."""
    module, folder, precision, options, texts = sys.argv[1:]
    model = importlib.import_module(f"benchmarks.peers.{module}").load(Path(folder), precision, **json.loads(options))
    model.encode(json.loads(Path(texts).read_text("utf-8")))


if __name__ == "__main__":
    main()
