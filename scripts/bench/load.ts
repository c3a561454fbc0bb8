import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Gives the bytes of the next request on a connection. They are not touched until its answer is there. */
export type RequestSource = (connection: number) => Uint8Array;

export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** Of each request (ms), ascending. */
  readonly latencies: Float64Array;
}

/**
 * Keep-alive connections to one server that send one request after the other. It reads of an answer only its status
 * and its length, so that the server under measurement gets as much of the machine as can be.
 */
export class Connections {
  readonly #sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
  }

  static async open(port: number, count: number): Promise<Connections> {
    const sockets = Array.from({ length: count }, () =>
      connect({ host: "127.0.0.1", port, noDelay: true }),
    );
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    return new Connections(sockets);
  }

  /** Keeps every connection busy for so long, or until `requestsMax` requests were sent. Rejects at any answer but 200. */
  async run(
    source: RequestSource,
    { ms, requestsMax = Number.POSITIVE_INFINITY }: { ms: number; requestsMax?: number },
  ): Promise<Load> {
    const latencies: number[] = [];
    const startedAt = performance.now();
    let sent = 0;
    const more = (now: number) => now - startedAt < ms && sent++ < requestsMax;
    await Promise.all(
      this.#sockets.map((socket, connection) =>
        exchange(socket, () => source(connection), { latencies, more }),
      ),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    return { requests: latencies.length, seconds, latencies: Float64Array.from(latencies).sort() };
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function exchange(
  socket: Socket,
  next: () => Uint8Array,
  { latencies, more }: { latencies: number[]; more: (now: number) => boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentAt = 0;
    /** Bytes of the answer that are still to come; -1 before its head is complete. */
    let left = -1;
    let head: Buffer | undefined;

    const send = (at: number) => {
      sentAt = at;
      left = -1;
      socket.write(next());
    };
    const finish = (error?: Error) => {
      socket.off("data", receive);
      socket.off("error", finish);
      socket.off("close", closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = () => finish(new Error("the server closed a connection"));
    const receive = (chunk: Buffer) => {
      if (left >= 0) left -= chunk.length;
      else {
        const bytes = head === undefined ? chunk : Buffer.concat([head, chunk]);
        const end = bytes.indexOf("\r\n\r\n");
        if (end < 0) {
          head = bytes;
          return;
        }
        head = undefined;
        const text = bytes.toString("latin1", 0, end + 2);
        const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
        if (!text.startsWith("HTTP/1.1 200 ") || length === undefined) {
          finish(new Error(`not an answer to measure: ${bytes.toString("latin1", 0, 1_000)}`));
          return;
        }
        left = Number(length) - (bytes.length - end - 4);
      }
      if (left > 0) return;
      const now = performance.now();
      latencies.push(now - sentAt);
      if (more(now)) send(now);
      else finish();
    };

    const begun = performance.now();
    if (!more(begun)) {
      resolve();
      return;
    }
    socket.on("data", receive);
    socket.on("error", finish);
    socket.on("close", closed);
    send(begun);
  });
}
