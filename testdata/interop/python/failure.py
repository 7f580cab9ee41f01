"""Errors, as the driver's answers name them."""

from azure.eventhub.exceptions import AuthenticationError, EventHubError, OperationTimeoutError

# EventHubError.error is AMQP's condition without what stands before its first colon.
KINDS = {
    "unauthorized-access": "unauthorized",
    "not-found": "not-found",
    "link:stolen": "stolen",
    "resource-limit-exceeded": "quota",
    "link:message-size-exceeded": "too-large",
    "timeout": "timeout",
}


class Unsupported(Exception):
    """The client has no way to do this."""


def of(error):
    return {"kind": kind(error), "text": f"{type(error).__name__}: {error}"}


def kind(error):
    if isinstance(error, Unsupported):
        return "unsupported"
    if isinstance(error, EventHubError) and error.error in KINDS:
        return KINDS[error.error]
    if isinstance(error, AuthenticationError):
        return "unauthorized"
    if isinstance(error, (OperationTimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, ValueError) and "limit" in str(error):  # of a batch that takes no more
        return "too-large"
    return "other"
