// Reads the fields of a JSON object. Null is treated like an absent field, unknown fields are kept.

/** A field that is not as specified: says what was expected and where, without the value. */
export class Mismatch extends Error {}

/** The names that the schema gives to the fields of `Wire`, without its index signature. */
type Name<Wire> = keyof {
    [K in keyof Wire as string extends K ? never : number extends K ? never : K]: Wire[K];
} &
    string;

/** The fields of one JSON object, which `Wire` of the schema describes. */
export class Fields<Wire extends object> {
    readonly #document: Record<string, unknown>;
    readonly #where: string;
    readonly #read = new Set<string>();

    /** Checks that `document` is an object. `where` says where it was found. */
    constructor(document: unknown, where = "") {
        if (typeof document !== "object" || document === null || Array.isArray(document)) {
            throw new Mismatch(`expected an object${where === "" ? "" : ` at ${where}`}`);
        }
        this.#document = document as Record<string, unknown>;
        this.#where = where;
    }

    /** A text, under the first of these names that is present. */
    text(...names: [Name<Wire>, ...Name<Wire>[]]): string | undefined {
        return this.#typed(names, "a string", (value) => typeof value === "string");
    }

    /** A text that must be present. */
    requiredText(...names: [Name<Wire>, ...Name<Wire>[]]): string {
        const value = this.text(...names);
        if (value === undefined) throw this.#mismatch("a string", names[0]);
        return value;
    }

    /** A number. */
    number(...names: [Name<Wire>, ...Name<Wire>[]]): number | undefined {
        return this.#typed(names, "a number", (value) => typeof value === "number");
    }

    /** A whole number. */
    integer(...names: [Name<Wire>, ...Name<Wire>[]]): number | undefined {
        return this.#typed(names, "a whole number", (value) => Number.isInteger(value));
    }

    /** A boolean. */
    flag(...names: [Name<Wire>, ...Name<Wire>[]]): boolean | undefined {
        return this.#typed(names, "a boolean", (value) => typeof value === "boolean");
    }

    /** A list of anything. */
    list(...names: [Name<Wire>, ...Name<Wire>[]]): unknown[] | undefined {
        return this.#typed(names, "a list", (value) => Array.isArray(value));
    }

    /** Anything. */
    any(...names: [Name<Wire>, ...Name<Wire>[]]): unknown {
        return this.#typed(names, "", () => true);
    }

    /** All fields that were not read. */
    rest(): Record<string, unknown> {
        return Object.fromEntries(Object.entries(this.#document).filter(([name]) => !this.#read.has(name)));
    }

    // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- `isIt` checks it
    #typed<T>(names: readonly string[], expected: string, isIt: (value: unknown) => boolean): T | undefined {
        for (const name of names) this.#read.add(name);
        const name = names.find((one) => this.#own(one) !== undefined && this.#own(one) !== null);
        if (name === undefined) return undefined;
        const value = this.#own(name);
        if (!isIt(value)) throw this.#mismatch(expected, name);
        return value as T;
    }

    #own(name: string): unknown {
        return Object.hasOwn(this.#document, name) ? this.#document[name] : undefined;
    }

    #mismatch(expected: string, name: string): Mismatch {
        return new Mismatch(`expected ${expected} at ${this.#where === "" ? "" : `${this.#where}.`}${name}`);
    }
}

/** Decodes each item of a list. */
export function listOf<T>(decode: (item: unknown, where: string) => T): (document: unknown) => T[] {
    return (document) => {
        if (!Array.isArray(document)) throw new Mismatch("expected a list");
        return document.map((item, at) => decode(item, `[${at}]`));
    };
}
