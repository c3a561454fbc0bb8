import { createSign, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface TokenIssuer {
  readonly url: string;
  /** A signed token that names an audience and is good for so many seconds. */
  token(claims: { readonly audience: string; readonly seconds?: number }): string;
  close(): void;
}

/** Somebody who issues tokens and tells everybody the key to check them with, as OpenID Connect has it. */
export async function startTokenIssuer(): Promise<TokenIssuer> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const keyId = "test";
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: keyId, alg: "RS256", use: "sig" };
  const server = createServer((request, response) => {
    const known: Record<string, object> = {
      "/.well-known/openid-configuration": { issuer: url, jwks_uri: `${url}/keys` },
      "/keys": { keys: [jwk] },
    };
    const answer = known[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    token({ audience, seconds = 60 }) {
      const now = Math.floor(Date.now() / 1_000);
      const header = { alg: "RS256", typ: "JWT", kid: keyId };
      const claims = { iss: url, sub: "somebody", aud: audience, iat: now, exp: now + seconds };
      const signed = [header, claims]
        .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
        .join(".");
      const signature = createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url");
      return `${signed}.${signature}`;
    },
    close: () => void server.close(),
  };
}
