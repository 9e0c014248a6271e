"""Embedding of a corpus of any size into a folder of Parquet shards; an interrupted run can be continued.

`job` describes the task, `manifest` splits the inputs into parts, `worker` writes the shards of one part, and `run`
processes all parts. Other engines schedule the same parts on the same worker.
"""
