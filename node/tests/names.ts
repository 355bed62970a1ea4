// Each class of errors and its name.

import * as faas from "satellite-faas";

export const ERROR_NAMES: [string, typeof faas.FaaSError][] = [
    ["FaaSError", faas.FaaSError],
    ["NetworkError", faas.NetworkError],
    ["TimeoutError", faas.TimeoutError],
    ["AbortError", faas.AbortedError],
    ["InvalidResponseError", faas.InvalidResponseError],
    ["ServerError", faas.ServerError],
    ["UnauthorizedError", faas.UnauthorizedError],
    ["ForbiddenError", faas.ForbiddenError],
    ["NotFoundError", faas.NotFoundError],
    ["UnsupportedError", faas.UnsupportedError],
    ["ConflictError", faas.ConflictError],
    ["InvalidRequestError", faas.InvalidRequestError],
    ["RateLimitError", faas.RateLimitError],
    ["ExecutionFailedError", faas.ExecutionFailedError],
];
