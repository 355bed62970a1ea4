// The routes.

import { SettingsError } from "./errors.js";

/** The route of one environment, execution, snapshot or instance, percent-encoded. */
export function pathOf(kind: "environments" | "executions" | "snapshots" | "instances", id: string): string {
    // A URL cannot name these: every URL parser removes dot segments, also encoded ones.
    if (id === "" || id === "." || id === "..") {
        throw new SettingsError([`${kind}: ${JSON.stringify(id)} is not a valid name or id`]);
    }
    return `/api/v1/${kind}/${escaped(id)}`;
}

/** Percent-encodes one path segment. Ids come from the server and may contain any character. */
function escaped(segment: string): string {
    return encodeURIComponent(segment.toWellFormed()).replace(
        /[!'()*]/g,
        (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    );
}
