"""A corpus of any size into a folder of Parquet shards, so that a run may end anywhere and the next one goes on.

`job` says what is wanted, `manifest` cuts the inputs into parts, `worker` makes the shards of one part, `run` goes over
them all. Other engines schedule the same parts to the same worker.
"""
