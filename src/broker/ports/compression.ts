/** Compression, passed in because every platform brings its own. The format is gzip (RFC 1952). */
export interface Compression {
  /** Rejects where the bytes are no gzip, are cut short, or would become more than `bytesMax`. */
  gunzip(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array>;
}
