// Errors, as the driver's answers name them.

// What the client calls AMQP's conditions: core-amqp, ConditionErrorNameMapper.
const KINDS = {
  UnauthorizedError: "unauthorized",
  MessagingEntityNotFoundError: "not-found",
  ServiceCommunicationError: "not-found", // its name for amqp:not-found
  ArgumentOutOfRangeError: "out-of-range",
  ReceiverDisconnectedError: "stolen",
  QuotaExceededError: "quota",
  MessageTooLargeError: "too-large",
  ServiceUnavailableError: "timeout", // its name for com.microsoft:timeout
  OperationTimeoutError: "timeout",
  Unsupported: "unsupported",
};

export function unsupported(text) {
  const error = new Error(text);
  error.code = "Unsupported";
  return error;
}

export function failure(error) {
  if (error instanceof AggregateError && error.errors.length > 0) return failure(error.errors.at(-1)); // of all tries
  const code = error.code ?? error.name;
  return { kind: KINDS[code] ?? "other", text: `${code}: ${error.message}` };
}
