/* Writes docs/policies.md: node --import tsx scripts/policies.ts */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { policiesDocument } from "./policies-document.ts";

const docs = fileURLToPath(new URL("../docs", import.meta.url));
await writeFile(`${docs}/policies.md`, policiesDocument(docs));
