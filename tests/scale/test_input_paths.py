"""Names of inputs and of the output folder: spellings, links, cycles, and folders inside each other."""

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minilm_jax.errors import InputError
from minilm_jax.scale.inputs import find_inputs
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, assert_complete, number_table, read_vectors


def found(*inputs: str | Path, out: str | Path = "/nowhere") -> list[str]:
    """Return the paths of the files that are found, without links."""
    return [file.url.removeprefix("file://") for file in find_inputs(Job(tuple(map(str, inputs)), "text", str(out)))]


def reruns(job: Job) -> int:
    """Run a job twice, and return the number of shards that the second run finds finished."""
    embed_corpus(job)
    return sum(len(report.skipped) for report in embed_corpus(job))


def test_output_folder_inside_the_inputs_is_recognized_in_every_spelling(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_input(job, "a.csv", number_table(range(2)))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "vectors").symlink_to("in/vectors")
    monkeypatch.chdir(tmp_path / "elsewhere")
    spellings = ["../in", "../link", "../elsewhere/../in", str(tmp_path / "in"), (tmp_path / "in").as_uri()]
    for inputs, parent in itertools.product([*spellings, "../*/*.csv", "../**"], spellings):
        embed_corpus(dataclasses.replace(job, inputs=(inputs,), out=f"{parent}/vectors"))
    embed_corpus(dataclasses.replace(job, inputs=("../in",), out="../vectors"))
    assert_complete(dataclasses.replace(job, out="../in/vectors"), 2)


def test_file_under_several_names_is_embedded_once(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = add_input(job, "a.csv", number_table(range(2)))
    (tmp_path / "alias.csv").symlink_to(path)
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    names = (
        "alias.csv",
        "in/a.csv",
        "./in/a.csv",
        str(path),
        "in/../in//a.csv",
        "link",
        "in",
        path.as_uri(),
        "l*/*.csv",
    )
    assert reruns(dataclasses.replace(job, inputs=names)) == 1
    for name in names:
        embed_corpus(dataclasses.replace(job, inputs=(name,)))
    assert_complete(job, 2)


def test_folder_given_through_a_link_later_has_the_same_shards(job: Job, tmp_path: Path) -> None:
    add_input(job, "a.csv", number_table(range(2)))
    embed_corpus(job)
    (tmp_path / "link").symlink_to("in")
    (report,) = embed_corpus(dataclasses.replace(job, inputs=(str(tmp_path / "link"),)))
    assert len(report.skipped) == 1


def test_hard_links_are_separate_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n1\n")
    os.link(tmp_path / "a.csv", tmp_path / "b.csv")
    assert len(found(tmp_path)) == 2


def test_links_to_files_and_folders_are_followed_once(tmp_path: Path) -> None:
    data, corpus = tmp_path / "data", tmp_path / "corpus"
    for folder in (data / "sub" / "deep", corpus):
        folder.mkdir(parents=True)
    expected = [data / "3fa4", data / "sub" / "b.csv", data / "sub" / "deep" / "c.csv"]
    for path in expected:
        path.write_text("text\n1\n")
    (corpus / "train.csv").symlink_to("../data/3fa4")  # The name of the link has the suffix.
    (corpus / "latest").symlink_to(data / "sub" / "b.csv")  # The name of the target has it.
    (corpus / "folder").symlink_to("../data/sub")
    (corpus / "again").symlink_to("../data/sub")
    (data / "sub" / "deep" / "loop").symlink_to(tmp_path)
    (corpus / "self").symlink_to("../corpus")
    assert found(corpus) == list(map(str, expected))
    assert found(f"{corpus}/**/*") == list(map(str, expected))
    assert found(f"{corpus}/*.csv") == [str(expected[0])]
    assert found(f"{corpus}/folder/*/*.csv", f"{tmp_path}/c*/again/?.csv") == list(map(str, expected[1:]))
    assert found(f"{corpus}/fold*/deep") == list(map(str, expected))  # By its link to the root.


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_link_that_leads_to_another_target_is_a_change(job: Job, tmp_path: Path, kind: str) -> None:
    for i, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "x.csv"
        path.write_text(f"id,text\n{i},{i}\n")
        os.utime(path, (1, 1))
    link = Path(job.inputs[0]) / ("x.csv" if kind == "file" else "folder")
    for i, name in enumerate("aab"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name / ("x.csv" if kind == "file" else ""))
        (report,) = embed_corpus(job)
        assert len(report.written) == (i != 1)
        assert [*read_vectors(Path(job.out))] == [i == 2]


def test_shards_of_a_link_are_kept_while_it_is_broken(
    job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_input(job, "a.csv", number_table([0]))
    (tmp_path / "b.csv").write_text("id,text\n1,1\n")
    (Path(job.inputs[0]) / "link.csv").symlink_to(tmp_path / "b.csv")
    embed_corpus(job)
    (tmp_path / "b.csv").rename(tmp_path / "away.csv")
    assert sum(report.failure is not None for report in embed_corpus(job)) == 1
    assert f"in/link.csv is a symbolic link to {tmp_path}/b.csv: No such file or directory. The other" in caplog.text
    (tmp_path / "away.csv").rename(tmp_path / "b.csv")
    assert reruns(job) == 2
    assert_complete(job, 2)


def test_paths_that_are_not_files_are_reported_and_the_others_are_embedded(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    add_input(job, "a.csv", number_table([0]))
    folder = Path(job.inputs[0])
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe")
    (folder / "self.csv").symlink_to("self.csv")
    (folder / "mounted").symlink_to("/nowhere")
    (folder / "README.md").symlink_to("/nowhere")
    (folder / "folder.csv").mkdir()
    failures = sorted(str(report.failure) for report in embed_corpus(job) if report.failure)
    assert failures == [
        f"{folder}/mounted is a symbolic link to /nowhere: No such file or directory.",
        f"{folder}/pipe.csv is not a regular file; write its data to a file.",
        f"{folder}/self.csv is a symbolic link to self.csv: Too many levels of symbolic links.",
    ]
    assert_complete(job, 1)


def test_folder_that_cannot_be_listed_is_reported(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    add_input(job, "a.csv", number_table([0]))
    locked = Path(job.inputs[0]) / "locked"
    locked.mkdir()
    (locked / "b.csv").write_text("text\n1\n")
    listdir = os.listdir

    def refuse(folder: str) -> list[str]:
        if folder == str(locked):
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    failures = [report.failure for report in embed_corpus(job) if report.failure]
    assert failures == [f"{locked} cannot be read: Permission denied."]


def test_file_in_a_folder_that_cannot_be_searched_is_reported(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    add_input(job, "a.csv", number_table([0]))
    path = Path(job.inputs[0]) / "locked" / "b.csv"

    def refuse(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(name: Any, **options: Any) -> Any:
            if name == str(path):
                raise PermissionError(13, "Permission denied")
            return function(name, **options)

        return call

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    failures = [report.failure for report in embed_corpus(dataclasses.replace(job, inputs=(*job.inputs, str(path))))]
    assert failures == [None, f"{path} cannot be read: Permission denied."]


def test_folders_of_other_runs_are_not_inputs(job: Job) -> None:
    add_input(job, "a.csv", number_table(range(2)))
    embed_corpus(dataclasses.replace(job, out=f"{job.inputs[0]}/first"))
    for inputs in (job.inputs[0], f"{job.inputs[0]}/*", f"{job.inputs[0]}/**/*"):
        job = dataclasses.replace(job, inputs=(inputs,), dtype="int8")
        embed_corpus(job)
        assert sorted(read_vectors(Path(job.out))) == [0, 1]
    job = dataclasses.replace(job, inputs=(f"{Path(inputs).parent.parent}/first",), keep=("id",), out=f"{job.out}2")
    embed_corpus(job)  # It is embedded if it is given itself.
    assert sorted(read_vectors(Path(job.out))) == [0, 1]


def test_input_inside_the_output_folder_is_skipped_with_a_message(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    path = add_input(job, "a.csv", number_table(range(2)))
    with pytest.raises(InputError, match="all inputs are empty or in the output folder; pass other inputs"):
        embed_corpus(dataclasses.replace(job, out=job.inputs[0]))
    with pytest.raises(InputError, match="all inputs are empty or in the output folder; pass other inputs"):
        embed_corpus(dataclasses.replace(job, out=str(path.parent.parent)))
    assert f"{path.parent} is in the output folder and is skipped." in caplog.text


@pytest.mark.parametrize(
    "name", ["a::b.csv", "file:x.csv", "a b#1.csv", "~.csv", "q?.csv", "x[1].csv", "p%20.csv", "new\nline.csv", "ü.csv"]
)
def test_unusual_file_name_is_found_in_its_folder_and_by_itself(
    job: Job, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_input(job, name, number_table([0]))
    embed_corpus(job)
    monkeypatch.chdir(job.inputs[0])
    (report,) = embed_corpus(dataclasses.replace(job, inputs=(name,)))
    assert len(report.skipped) == 1
    assert_complete(job, 1)


def test_empty_path_is_an_error() -> None:
    for inputs, out in (("", "out"), ("in", "")):
        with pytest.raises(InputError, match='a path is ""; pass the name'):
            found(inputs, out=out)


NAMES = ("a.csv", "b", "c.csv", "d", "_e", "f.jsonl")
PIECES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


def make_tree(root: Path, entries: Sequence[tuple[str, str, bool]]) -> None:
    """Create files, and links to files and folders; entries that cannot be created are left out."""
    for name, target, is_link in entries:
        path = root / "corpus" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_link:
                path.symlink_to(root / "corpus" / target)
            elif not path.suffix:
                path.mkdir()
            elif not path.exists():
                path.write_text("text\n1\n")
        except OSError:
            continue


def reachable(folder: Path) -> set[str]:
    """Return the regular files that visible names below a folder lead to."""
    folders, files, pending = set(), set(), [folder]
    while pending:
        paths = [path for path in pending.pop().iterdir() if not path.name.startswith("_")]
        new = {path.resolve() for path in paths if path.is_dir()} - folders
        folders, pending = folders | new, [*pending, *new]
        files |= {str(path.resolve()) for path in paths if path.is_file() and (path.suffix or path.resolve().suffix)}
    return files


SPELLINGS = st.sampled_from(
    [
        "corpus",
        "./corpus/",
        "corpus/../corpus",
        "link",
        "link/../link",
        "{root}/corpus",
        "{root}/link/.",
        "file://{root}/corpus",
        "corpus/**",
    ]
)


OUTPUTS = st.sampled_from(["vectors", "corpus/out", "link/out", "{root}/corpus/b/out"])
ENTRIES = st.lists(st.tuples(PIECES, PIECES | st.just(""), st.booleans()), max_size=10)


@settings(deadline=None)
@given(ENTRIES, st.lists(SPELLINGS, min_size=1, max_size=4), OUTPUTS)
def test_each_file_is_found_once_under_any_names(
    entries: list[tuple[str, str, bool]], spellings: list[str], out: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(os.path.realpath(folder))
        (root / "corpus" / "b").mkdir(parents=True)
        (root / "corpus" / "first.csv").write_text("text\n1\n")
        (root / "link").symlink_to("corpus")
        make_tree(root, entries)
        expected = sorted(reachable(root / "corpus"))
        patch.chdir(root)
        Path(out.format(root=root)).mkdir()
        Path(out.format(root=root), "x-p00000-s00000.parquet").touch()
        paths = [spelling.format(root=root) for spelling in spellings]
        files = find_inputs(Job(tuple(paths), "text", out.format(root=root)))
        assert [file.url.removeprefix("file://") for file in files if not file.problem] == expected
        assert {file.found_at for file in files if file.problem}.isdisjoint(expected)
