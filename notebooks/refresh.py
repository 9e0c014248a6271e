"""Run each notebook's .py file and write the .ipynb file with the outputs, or only compare the two with --check."""

import sys
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main() -> None:
    """Refresh or check the notebooks named on the command line, or all of them.

    Raises:
        SystemExit: With --check, the cells of a .ipynb file differ from those of its .py file.
    """
    checks, names = "--check" in sys.argv, [name for name in sys.argv[1:] if name != "--check"]
    for source in sorted(FOLDER.glob("[1-9]_*.py")):
        if not names or source.stem in names:
            (_check if checks else _refresh)(source)


def _check(source: Path) -> None:
    written, run = (jupytext.read(path) for path in (source, source.with_suffix(".ipynb")))
    if [cell.source for cell in written.cells] != [cell.source for cell in run.cells]:
        sys.exit(f"{source.name} and its .ipynb file differ. Edit the .py file, then run `make refresh-notebooks`.")


def _refresh(source: Path) -> None:
    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": KERNEL}
    NotebookClient(notebook, timeout=600, record_timing=False).execute()
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for index, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{index}", {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_informative(output)]
    jupytext.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.stem}: {source.with_suffix('.ipynb').stat().st_size / 1e3:.0f} kB")


def _is_informative(output: Any) -> bool:
    """Return whether an output is more than the repr of an object or a warning about this machine."""
    if output.output_type == "stream":
        return output.name == "stdout"
    return not str(output.data.get("text/plain", "")).startswith(("<", "Text(")) or "image/png" in output.data


if __name__ == "__main__":
    main()
