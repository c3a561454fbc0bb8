import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Compression } from "../../broker/ports/compression.ts";

const gunzipAsync = promisify(gunzip);

export class NodeCompression implements Compression {
  async gunzip(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
    const plain = await gunzipAsync(bytes, { maxOutputLength: bytesMax });
    return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
  }
}
