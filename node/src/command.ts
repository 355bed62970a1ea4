// Commands as servers accept them: a shell script or a list of arguments. The same text as the
// Rust client sends (crates/faas/src/command.rs).

import { SettingsError } from "./errors.js";

/**
 * A server passes a command to a program as one argument, and the kernel limits an argument to
 * 128 KiB.
 */
export const MAX_COMMAND_BYTES = 96 * 1024;

/** A shell script, or a program and its arguments. */
export type Form = string | readonly string[];

const encoder = new TextEncoder();

/** The command as a shell script. */
export function asText(form: Form): string {
    const text = shellText(form);
    if (text.trim() === "") throw new SettingsError(["command: the command is empty"]);
    if (text.includes("\0")) throw new SettingsError(["command: a command cannot contain NUL"]);
    if (encoder.encode(text).length > MAX_COMMAND_BYTES + 4096) {
        throw new SettingsError(["command: the command, including stdin, is too long"]);
    }
    return text;
}

/** The command as a program and its arguments. */
export function asWords(form: Form): [string, ...string[]] {
    const text = asText(form);
    const [program, ...rest] = typeof form === "string" ? ["sh", "-c", text] : form;
    return [program ?? "", ...rest];
}

/** The same command with these bytes on its standard input: a shell can print any byte. */
export function reading(form: Form, stdin: Uint8Array): Form {
    const printed = escapedForPrintf(stdin);
    if (printed.length > MAX_COMMAND_BYTES) {
        throw new SettingsError(["stdin: too long to be a part of the command"]);
    }
    return `printf '${printed}' | (\n${asText(form)}\n)`;
}

/**
 * The same command in a directory, with its exit code after `marker` in an extra last line.
 */
export function withMarker(form: Form, marker: string, directory: string | undefined): Form {
    const change = directory === undefined ? "" : `cd -- ${quoted(directory)} || exit 125\n`;
    const report = `printf '\\n${marker} %d\\n' $code\nexit $code`;
    return `(\n${change}${shellText(form)}\n)\ncode=$?\n${report}`;
}

/** A line that no command prints by accident. */
export function newMarker(): string {
    const bits = crypto.getRandomValues(new Uint8Array(8));
    return `exit-${Array.from(bits, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The output without the marker line, and the exit code in that line. */
export function splitMarker(output: string, marker: string): { text: string; code: number } | undefined {
    const begin = output.lastIndexOf(`\n${marker} `);
    if (begin < 0) return undefined;
    const after = output.slice(begin + marker.length + 2);
    const end = after.indexOf("\n");
    const code = after.slice(0, Math.max(end, 0)).trim();
    if (!/^-?\d+$/.test(code)) return undefined;
    return { text: output.slice(0, begin) + after.slice(end + 1), code: Number(code) };
}

function shellText(form: Form): string {
    return typeof form === "string" ? form : form.map(quoted).join(" ");
}

/** A word, quoted for a shell. */
function quoted(word: string): string {
    return /^[A-Za-z0-9\-_./:,+@%]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Escapes bytes for the first argument of `printf`, in single quotes. */
function escapedForPrintf(bytes: Uint8Array): string {
    let out = "";
    for (const byte of bytes) {
        const char = String.fromCharCode(byte);
        if (char === "%") out += "%%";
        // A leading dash would be parsed as an option.
        else if (char === "\n" || (byte >= 0x20 && byte <= 0x7e && !"-'\\".includes(char))) out += char;
        else out += `\\${byte.toString(8).padStart(3, "0")}`;
    }
    return out;
}
