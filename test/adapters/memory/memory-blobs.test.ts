import { MemoryBlobs } from "../../../src/adapters/memory/memory-blobs.ts";
import { runBlobsContract } from "../../contract/blobs.contract.ts";

runBlobsContract({ create: async () => ({ blobs: new MemoryBlobs() }) });
