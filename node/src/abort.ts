// Aborts one attempt: on a signal of the caller, or when a time limit expires.

/** The longest delay of `setTimeout`; a longer one would end at once. */
const MAX_TIMER = 2 ** 31 - 1;

/** Calls `end` after `ms`, however long that is. Returns a function that prevents it. */
function after(ms: number, end: () => void): () => void {
    let timer: ReturnType<typeof setTimeout>;
    const arm = (left: number): void => {
        const next = (): void => {
            if (left > MAX_TIMER) arm(left - MAX_TIMER);
            else end();
        };
        timer = setTimeout(next, Math.min(left, MAX_TIMER));
    };
    arm(ms);
    return () => {
        clearTimeout(timer);
    };
}

/** Why an attempt was aborted. */
export type AbortCause = { readonly kind: "signal"; readonly reason: unknown } | { readonly kind: "timeout" };

/** The end of one attempt by a signal or a time limit. */
export class Attempt {
    /** Why it was aborted, if it was. */
    cause: AbortCause | undefined;

    readonly #controller = new AbortController();
    readonly #signals: readonly AbortSignal[];
    #disarm: (() => void) | undefined;

    /** Begins an attempt that any of these signals aborts. */
    constructor(signals: readonly AbortSignal[]) {
        this.#signals = signals;
        for (const signal of signals) signal.addEventListener("abort", this.#onAbort);
        if (signals.some((signal) => signal.aborted)) this.#onAbort();
    }

    /** For `fetch`. */
    get signal(): AbortSignal {
        return this.#controller.signal;
    }

    /** Sets the time limit, in milliseconds from now, instead of any previous one. */
    limit(ms: number): void {
        this.#disarm?.();
        this.#disarm = after(ms, () => {
            this.#abort({ kind: "timeout" });
        });
    }

    /** Ends the time limit. */
    unlimited(): void {
        this.#disarm?.();
    }

    /** Stops waiting for signals and time limits. */
    close(): void {
        this.unlimited();
        for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
    }

    readonly #onAbort = (): void => {
        const reason: unknown = this.#signals.find((signal) => signal.aborted)?.reason;
        this.#abort({ kind: "signal", reason });
    };

    #abort(cause: AbortCause): void {
        if (this.cause !== undefined) return;
        this.cause = cause;
        this.#controller.abort();
    }
}

/** Waits `ms`. False if one of the signals ended the wait. */
export async function sleep(ms: number, signals: readonly AbortSignal[]): Promise<boolean> {
    if (signals.some((signal) => signal.aborted)) return false;
    return new Promise((resolve) => {
        const end = (isOver: boolean): void => {
            disarm();
            for (const signal of signals) signal.removeEventListener("abort", onAbort);
            resolve(isOver);
        };
        const onAbort = (): void => {
            end(false);
        };
        const disarm = after(ms, () => {
            end(true);
        });
        for (const signal of signals) signal.addEventListener("abort", onAbort);
    });
}
