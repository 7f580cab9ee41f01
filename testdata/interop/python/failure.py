"""Errors, as the driver's answers name them."""

from azure.eventhub.exceptions import AuthenticationError, EventHubError, OperationTimeoutError

# EventHubError.error is AMQP's condition without what stands before its first colon.
KINDS = {
    "unauthorized-access": "unauthorized",
    "not-found": "not-found",
    "argument-out-of-range": "out-of-range",
    "link:stolen": "stolen",
    "resource-limit-exceeded": "quota",
    "link:message-size-exceeded": "too-large",
    "timeout": "timeout",
}

# All that is said of an answer from $management, and what producer and consumer say that have asked for the partitions themselves.
OUT_OF_RANGE = ("Management request error. Status code: 400", "Invalid partition ", "Wrong partition id:")


class Unsupported(Exception):
    """The client has no way to do this."""


def of(error):
    return {"kind": kind(error), "text": f"{type(error).__name__}: {error}"}


def kind(error):
    if isinstance(error, Unsupported):
        return "unsupported"
    if isinstance(error, EventHubError) and error.error in KINDS:
        return KINDS[error.error]
    if any(said in str(error) for said in OUT_OF_RANGE):
        return "out-of-range"
    if isinstance(error, AuthenticationError):
        return "unauthorized"
    if isinstance(error, (OperationTimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, ValueError) and "limit" in str(error):  # of a batch that takes no more
        return "too-large"
    return "other"
