"""The `minilm-jax serve` command."""

from typing import Any, get_args

import click

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.serving.settings import ServerSettings

_DEFAULTS = ServerSettings()


@click.command(context_settings={"auto_envvar_prefix": "MINILM_JAX_SERVE", "show_default": True})
@click.option("--model", default=DEFAULT_MODEL, help="Name or folder of the model; usually a sentence encoder.")
@click.option("--reranker", metavar="MODEL", help="Name or folder of a cross-encoder, for /rerank and /predict.")
@click.option("--sparse", metavar="MODEL", help="Name or folder of a sparse encoder, for /embed_sparse.")
@click.option("--revision", help="Branch, tag or commit of the model on the hub.")
@click.option("--precision", type=Choice(get_args(Precision)), default=_DEFAULTS.precision, help="Of all models.")
@click.option("--max-seq-length", type=click.IntRange(min=3), help="Truncate texts to this many tokens.")
@click.option("--host", default=_DEFAULTS.host, help="Address to listen at; 0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65_535), default=_DEFAULTS.port, help="Port; 0 for a free one.")
@click.option("--uds", metavar="PATH", help="Listen at a Unix domain socket instead.")
@click.option(
    "--api-key",
    "api_keys",
    envvar="MINILM_JAX_SERVE_API_KEY",
    metavar="KEY",
    multiple=True,
    help="Key that clients must send; repeatable.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    envvar="MINILM_JAX_SERVE_CORS_ORIGIN",
    metavar="URL",
    multiple=True,
    help="Origin of web pages; repeatable.",
)
@click.option("--max-body-bytes", type=click.IntRange(min=1), default=_DEFAULTS.max_body_bytes, help="Per request.")
@click.option("--max-inputs", type=click.IntRange(min=1), default=_DEFAULTS.max_inputs, help="Texts per request.")
@click.option("--max-wait-ms", type=click.FloatRange(min=0), default=_DEFAULTS.max_wait_ms, help="Wait for others.")
@click.option(
    "--max-waiting-tokens",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_waiting_tokens,
    help="Tokens that may wait; further requests get status 429.",
)
@click.option("--request-timeout", type=click.FloatRange(min=0.001), default=_DEFAULTS.request_timeout, help="Seconds.")
@click.option(
    "--read-timeout",
    type=click.FloatRange(min=0.001),
    default=_DEFAULTS.read_timeout,
    help="Seconds to send a request.",
)
@click.option(
    "--grace-period", type=click.FloatRange(min=1), default=_DEFAULTS.grace_period, help="Seconds after SIGTERM."
)
@click.option(
    "--drain-delay",
    type=click.FloatRange(min=0),
    default=_DEFAULTS.drain_delay,
    help="Seconds after SIGTERM in which requests are accepted, while /ready returns 503.",
)
@click.option("--log-json", is_flag=True, help="Write log lines as JSON.")
def serve(**options: Any) -> None:
    """Answer HTTP requests, with the interfaces of OpenAI, text-embeddings-inference, Jina and Cohere.

    \b
      minilm-jax serve                                           http://127.0.0.1:8080
      minilm-jax serve --precision int8 --port 9000
      minilm-jax serve --reranker cross-encoder/ms-marco-MiniLM-L6-v2
      minilm-jax serve --host 0.0.0.0 --api-key "$KEY" --log-json
      MINILM_JAX_SERVE_PORT=9000 minilm-jax serve                every option is a variable

    \b
      curl 127.0.0.1:8080/v1/embeddings -H 'content-type: application/json' -d '{"input": "A cat sleeps."}'

    Open the address in a browser to try the model. Requests of all clients are computed in shared batches.
    """
    with from_extra("serve"):
        from minilm_jax.serving.server import serve as run
    run(ServerSettings(**options))
