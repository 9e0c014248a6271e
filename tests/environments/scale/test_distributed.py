"""Processes of `jax.distributed` write different parts to one folder."""

import socket
import subprocess
import sys
from pathlib import Path

from minilm_jax.scale.job import Job
from tests.helpers.numbered_corpus import assert_complete, number_table, save_number_model, write_table

_PROCESS = """
import sys, jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
print(sum(shard.rows for report in embed_corpus({job}) for shard in report.written))
"""


def test_two_processes_embed_alternate_parts(tmp_path: Path) -> None:
    source = write_table(tmp_path / "in.parquet", number_table(range(1_000)))
    job = Job((str(source),), "text", str(tmp_path / "out"), model=str(save_number_model(tmp_path)), shard_rows=300)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    commands = [[sys.executable, "-c", _PROCESS.format(job=job), address, str(i)] for i in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [process.communicate(timeout=300)[0].splitlines()[-1] for process in running]
    assert outputs == ["600", "400"]  # The parts are row groups 0-2, 3-5, 6-8 and 9; the processes alternate.
    assert_complete(job, 1_000)
