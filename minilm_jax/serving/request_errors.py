"""Errors of requests, each with the HTTP status and the words of both contracts."""

from minilm_jax.errors import InputError, MinilmJaxError, OverloadedError


class RequestError(InputError):
    """A request that cannot be answered.

    Attributes:
        status: The HTTP status.
        kind: The error_type of text-embeddings-inference.
        param: The name of the wrong field, or None.
    """

    def __init__(self, message: str, status: int = 422, kind: str = "Validation", param: str | None = None) -> None:
        """Create an error; the message names the problem and a fix."""
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


class NotServedError(RequestError):
    """The route needs a model that is not loaded."""

    def __init__(self, what: str, option: str) -> None:
        """Name the kind of model, and the option that loads one."""
        super().__init__(f"this server has no {what}; start it with `minilm-jax serve {option}`.", 404, "NotFound")


def as_request_error(error: BaseException) -> RequestError:
    """Return the error to answer with for any error of a handler."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, OverloadedError):
        return RequestError(str(error), 429, "Overloaded")
    if isinstance(error, TimeoutError):
        return RequestError("the request took too long; send fewer texts, or try again later.", 503, "Unhealthy")
    if isinstance(error, MinilmJaxError):
        return RequestError(str(error), 422, "Validation")
    return RequestError("the computation failed; the server's log has the reason.", 424, "Backend")
