"""Files with unusual names or contents: each gets one clear message, and the other files are embedded."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from minilm_jax.scale.store import Store
from tests.helpers.command_line import command
from tests.helpers.numbered_corpus import add_input, assert_complete, number_table, read_rows

LATIN_1 = os.fsdecode(b"caf\xe9")


def failures(job: Job) -> list[str]:
    """Embed a corpus with one more file, which has the number 0, and return the failures."""
    add_input(job, "a.csv", number_table([0]))
    failures = [report.failure for report in embed_corpus(job) if report.failure]
    rows = read_rows(Path(job.out))
    assert [int(row["id"]) for row in rows if row["embedding"]][:1] == [0]
    return failures


DUPLICATE = pa.Table.from_arrays([pa.array(["1"])] * 4, ["id", "text", "x", "x"])
TWO_TEXTS = pa.Table.from_arrays([pa.array(["1"])] * 3, ["id", "text", "text"])
WIDE = 'id,text\n1,1\n{"text": "1"}\n'

CONTENTS = {
    "duplicate-column.csv": (b"id,text,x,x\n1,1,2,3\n", "2 columns are named 'x'"),
    "two-texts.csv": (b"id,text,text\n1,1,2\n", "2 columns are named 'text'"),
    "duplicate-key.jsonl": (b'{"id": 1, "text": "1", "text": "2"}\n', "the key 'text' occurs twice"),
    "latin-1-header.csv": (b"id,text,caf\xe9\n1,1,2\n", r"line 1: the column name 'caf\udce9' is not UTF-8"),
    "latin-1-key.jsonl": (b'{"text": "1", "caf\xe9": 2}\n', r"line 1: the key 'caf\udce9' is not valid Unicode"),
    "utf-16.csv": (WIDE.encode("utf-16"), "line 1: the file is UTF-16, not UTF-8; convert it with iconv"),
    "utf-16.jsonl": (WIDE.encode("utf-16"), "line 1: the file is UTF-16, not UTF-8"),
    "utf-16-le.csv": (WIDE.encode("utf-16-le"), "the file is UTF-16LE"),
    "utf-16-be.jsonl": (WIDE.encode("utf-16-be"), "the file is UTF-16BE"),
    "utf-32.csv": (WIDE.encode("utf-32"), "the file is UTF-32"),
    "zeros.csv": (bytes(5_000), "no column 'text'"),
    "zeros.jsonl": (bytes(5_000), "line 1: not JSON"),
    "empty.parquet": (b"", "cannot be read: Parquet file size is 0 bytes"),
    "empty.arrow": (b"", "cannot be read: "),
    "text.parquet": (b"id,text\n" * 10, "cannot be read: Parquet magic bytes not found"),
    "whole.parquet.gz": (b"PAR1", "it must not be compressed with gzip; decompress it first."),
    "text.csv.gz": (b"id,text\n1,1\n", "cannot be read: zlib inflate failed"),
    "text.csv.zst": (b"id,text\n1,1\n", "cannot be read: ZSTD decompress failed"),
    # A frame with a window of 2 GiB and one block of eight bytes.
    "long window.csv.zst": (
        b"\x28\xb5\x2f\xfd\x00\xa8" + (1 | 8 << 3).to_bytes(3, "little") + b"text\n1\n\n",
        "it was compressed with zstd --long; recompress it: zstd -dc --long=31 'long window.csv.zst' | zstd -o new.zst",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_unusual_content_is_named_in_one_line(job: Job, name: str) -> None:
    data, message = CONTENTS[name]
    path = Path(job.inputs[0], name)
    path.write_bytes(data)
    (failure,) = failures(job)
    assert failure.startswith(str(path))
    assert message in failure
    assert len(failure) < 1_200
    assert "\n" not in failure


@pytest.mark.parametrize("table", [DUPLICATE, TWO_TEXTS])
def test_parquet_file_with_two_columns_of_one_name_is_reported(job: Job, table: pa.Table) -> None:
    pq.write_table(table, f"{job.inputs[0]}/b.parquet")
    (failure,) = failures(job)
    assert f"b.parquet: 2 columns are named {table.schema.names[-1]!r}; rename all but one." in failure


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_duplicate_columns_that_are_not_kept_do_not_matter(job: Job, name: str) -> None:
    if name.endswith("csv"):
        Path(job.inputs[0], name).write_text("id,text,x,x\n1,1,2,3\n")
    else:
        pq.write_table(DUPLICATE, f"{job.inputs[0]}/{name}")
    assert failures(dataclasses.replace(job, keep=("id",))) == []
    assert_complete(job, 2)


@pytest.mark.parametrize("start", ["\n", "\r\n\r\n", "  \n", "\ufeff\n"])
def test_blank_lines_before_the_header_are_skipped(job: Job, start: str) -> None:
    Path(job.inputs[0], "b.csv").write_text(f"{start}id,text\n1,1\n", "utf-8", newline="")
    assert failures(job) == []
    assert_complete(job, 2)


@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.parquet", "b.arrow"])
def test_file_name_that_is_not_utf8_is_embedded_and_skipped_later(job: Job, name: str) -> None:
    folder = Path(job.inputs[0], LATIN_1)
    folder.mkdir()
    add_input(job, f"a{name[1:]}", number_table([0]))
    add_input(job, name, number_table([1])).rename(folder / f"{LATIN_1}-{name}")
    for out in (f"{job.out}-{LATIN_1}", job.out):
        job = dataclasses.replace(job, out=out)
        assert sum(len(report.written) for report in embed_corpus(job)) == 2
        assert sum(len(report.skipped) for report in embed_corpus(job)) == 2
    assert_complete(job, 2)
    (folder / f"{LATIN_1}-{name}").unlink()
    with pytest.raises(InputError, match=rf"that are not given now, such as .*caf\\xe9-{name}; pass"):
        embed_corpus(job)


def test_messages_of_the_command_escape_bytes_and_control_characters(job: Job, tmp_path: Path) -> None:
    add_input(job, "a.csv", number_table([0]))
    Path(job.inputs[0], f"{LATIN_1}\n\x1b[31m.csv").write_text("id,body\n1,1\n")
    arguments = ("--text-column", "text", "--out", job.out, "--model", job.model)
    done = subprocess.run(command("embed-corpus", *job.inputs, *arguments), capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        rf"{job.inputs[0]}/caf\xe9\x0a\x1b[31m.csv: no column 'text'; available: 'id', 'body'. The other" in done.stderr
    )
    (record,) = Path(job.out, "_failed").iterdir()
    assert json.loads(record.read_bytes())["from"]["url"].endswith(f"{LATIN_1}\n\x1b[31m.csv")


def test_unreadable_file_is_named_before_an_error_that_it_causes(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "a.csv", number_table([0]))
    path = Path(job.inputs[0], "b.csv")
    path.write_text("id,text,extra\n1,1,1\n")
    embed_corpus(job)
    path.write_text("id,text,extra\n1,1,1\n", "utf-16")
    with pytest.raises(InputError, match="'extra' is missing"):
        embed_corpus(job)
    assert f"{path}: line 1: the file is UTF-16" in caplog.text


def test_json_with_bytes_that_are_not_utf8_is_read_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    value = {"url": LATIN_1, "ü": '"\\'}
    store.create()
    store.write_json("x.json", value)
    assert store.read_json("x.json") == value


def test_file_that_shrinks_while_it_is_read_is_reported_once(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = add_input(job, "b.parquet", number_table(range(1, 5_000)))
    import minilm_jax.scale.run as run

    plan = run.plan
    monkeypatch.setattr(run, "plan", lambda job: [plan(job), path.write_bytes(path.read_bytes()[:1_000])][0])
    assert all(failure.startswith(f"{path} cannot be read: ") for failure in failures(job))
    assert caplog.text.count(f"{path} cannot be read") == 1
