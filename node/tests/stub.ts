// A server that compares each byte of a request with what is expected, and answers with the bytes
// that it is given.

import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { FaaSClient, type FaaSConfig } from "satellite-faas";

/** What to do with a request: bytes to answer with, and then close; or something of its own. */
export type Answer = string | ((socket: Socket, request: string) => void);

export class Stub {
    /** The requests so far, byte by byte. */
    readonly requests: string[] = [];
    /** The connections that the client closed before the response was complete. */
    closedEarly = 0;
    readonly #server: Server;
    readonly #sockets = new Set<Socket>();

    private constructor(answers: Answer[]) {
        const last = answers.at(-1) ?? "";
        this.#server = createServer((socket) => {
            this.#sockets.add(socket);
            let received = Buffer.alloc(0);
            let isAnswered = false;
            socket.on("error", () => undefined);
            socket.on("close", () => {
                this.#sockets.delete(socket);
                if (!isAnswered) this.closedEarly += 1;
            });
            socket.on("data", (bytes) => {
                received = Buffer.concat([received, bytes]);
                const request = received.toString("utf8");
                const head = request.indexOf("\r\n\r\n");
                if (head < 0) return;
                const length = Number(/content-length: (\d+)/.exec(request.slice(0, head))?.[1] ?? 0);
                if (received.length < Buffer.byteLength(request.slice(0, head + 4)) + length) return;
                this.requests.push(request);
                received = Buffer.alloc(0);
                const answer = answers.shift() ?? last;
                if (typeof answer === "function") {
                    answer(socket, request);
                } else {
                    isAnswered = true;
                    socket.end(answer);
                }
            });
        });
    }

    static async start(...answers: Answer[]): Promise<Stub> {
        const stub = new Stub(answers);
        await new Promise<void>((resolve) => stub.#server.listen(0, "127.0.0.1", resolve));
        return stub;
    }

    get url(): string {
        return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    }

    get host(): string {
        return this.url.slice("http://".length);
    }

    client(config: FaaSConfig = {}): FaaSClient {
        return new FaaSClient({ endpoint: this.url, apiKey: "key-1", retryDelay: 0.01, maxRetryDelay: 0.05, ...config });
    }

    async close(): Promise<void> {
        for (const socket of this.#sockets) socket.destroy();
        await new Promise((resolve) => this.#server.close(resolve));
    }
}

/** The bytes of a response. */
export function response(status: number, body: string, headers: Record<string, string> = {}): string {
    const all = { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${status} X\r\n${lines.join("")}\r\n${body}`;
}

/** Runs `test` with a stub, and ends the stub. */
export async function withStub(answers: Answer[], test: (stub: Stub) => Promise<void>): Promise<void> {
    const stub = await Stub.start(...answers);
    try {
        await test(stub);
    } finally {
        await stub.close();
    }
}
