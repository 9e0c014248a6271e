"""Writes the .ipynb of each notebook from the .py beside it, with the outputs of a run; --check only compares them."""

import sys
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main() -> None:
    """Refreshes the notebooks that are named, or all of them.

    Raises:
        SystemExit: With --check, a notebook's cells are not those of its .py.
    """
    checks, names = "--check" in sys.argv, [name for name in sys.argv[1:] if name != "--check"]
    for source in sorted(FOLDER.glob("[1-9]_*.py")):
        if not names or source.stem in names:
            (_check if checks else _refresh)(source)


def _check(source: Path) -> None:
    written, run = (jupytext.read(path) for path in (source, source.with_suffix(".ipynb")))
    if [cell.source for cell in written.cells] != [cell.source for cell in run.cells]:
        sys.exit(f"{source.name} and its .ipynb differ: edit the .py, then `make refresh-notebooks`.")


def _refresh(source: Path) -> None:
    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": KERNEL}
    NotebookClient(notebook, timeout=600, record_timing=False).execute()
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for index, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{index}", {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _says_something(output)]
    jupytext.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.stem}: {source.with_suffix('.ipynb').stat().st_size / 1e3:.0f} kB")


def _says_something(output: Any) -> bool:
    """Returns whether an output is more than the name of an object, or a warning about this machine."""
    if output.output_type == "stream":
        return output.name == "stdout"
    return not str(output.data.get("text/plain", "")).startswith(("<", "Text(")) or "image/png" in output.data


if __name__ == "__main__":
    main()
