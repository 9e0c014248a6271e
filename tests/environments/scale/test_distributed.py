"""Under `jax.distributed` each process makes its share of one folder."""

import socket
import subprocess
import sys
from pathlib import Path

from minilm_jax.scale.job import Job
from tests.helpers.numbered_corpus import check_complete, number_model, numbers, write_rows

_PROCESS = """
import sys, jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
print(sum(shard.rows for report in embed_corpus({job}) for shard in report.written))
"""


def test_two_processes_share_the_parts(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.parquet", numbers(range(1_000)))
    job = Job((str(source),), "text", str(tmp_path / "out"), model=str(number_model(tmp_path)), shard_rows=300)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    commands = [[sys.executable, "-c", _PROCESS.format(job=job), address, str(i)] for i in range(2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=300)[0].splitlines()[-1] for process in running]
    assert said == ["600", "400"]  # Row groups 0 to 2, 3 to 5, 6 to 8 and 9, in turns.
    check_complete(job, 1_000)
