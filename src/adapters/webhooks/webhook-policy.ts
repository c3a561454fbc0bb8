import ipaddr from "ipaddr.js";
import { invalid } from "../../broker/errors.ts";

type Address = ReturnType<typeof ipaddr.parse>;

/** What may be called although it is not public: hosts by name, and networks. Any port of theirs. */
export interface AllowedTargets {
  readonly hosts: ReadonlySet<string>;
  readonly networks: readonly (readonly [Address, number])[];
}

/** An address that a name leads to, as it was judged. */
export interface JudgedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

const publicOnly =
  "an https URL of a public address on port 443, without credentials, or one that whoever runs the broker allowed";

/** Names that lead into the machine or the network of whoever resolves them. */
const innerName = /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|home\.arpa)$/;
const nameForm =
  /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Reads an allow list: names, addresses, networks as `10.0.0.0/8`. Throws an error that names the entry that is none of these. */
export function allowedTargets(entries: readonly string[]): AllowedTargets {
  const hosts = new Set<string>();
  const networks: [Address, number][] = [];
  for (const entry of entries) {
    const network = networkIn(entry);
    if (network !== undefined) networks.push(network);
    else if (nameForm.test(entry.toLowerCase()) && !/\d$/.test(entry))
      hosts.add(entry.toLowerCase());
    else throw new Error(`"${entry}" is no host name, address or network such as 10.0.0.0/8`);
  }
  return { hosts, networks };
}

function networkIn(entry: string): [Address, number] | undefined {
  if (ipaddr.isValidCIDR(entry)) return ipaddr.parseCIDR(entry);
  const address = literalIn(entry);
  return address && [address, address.kind() === "ipv4" ? 32 : 128];
}

/**
 * The host of a URL that may be called as far as its text shows, in lower case and without brackets. The URL parser has
 * made one form of all notations: decimal, octal, hexadecimal and short addresses, escapes, full-width digits. Throws
 * `invalid`.
 */
export function hostToCall(text: string, allowed: AllowedTargets, field: string): string {
  const refuse = () => invalid(field, text, publicOnly);
  // The parser would pass over what stands between.
  if (/[\s\\\p{Cc}]/u.test(text) || !URL.canParse(text)) throw refuse();
  const url = new URL(text);
  if (url.protocol !== "https:" || url.username !== "" || url.password !== "") throw refuse();
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  if (isAllowedName(host, allowed)) return host;
  const address = literalIn(host);
  if (address !== undefined && isAllowedAddress(address, allowed)) return host;
  if (url.port !== "") throw refuse();
  const isPublicName = nameForm.test(host) && host.includes(".") && !innerName.test(host);
  if (address === undefined ? !isPublicName : !isPublic(address)) throw refuse();
  return host;
}

/** The addresses that a host has, if all of them may be called. Throws `invalid`. */
export function addressesToCall(
  host: string,
  addresses: readonly string[],
  allowed: AllowedTargets,
  field: string,
): JudgedAddress[] {
  if (addresses.length === 0) throw invalid(field, host, publicOnly);
  return addresses.map((text) => {
    const address = literalIn(text);
    const isFine =
      address !== undefined &&
      (isAllowedName(host, allowed) || isAllowedAddress(address, allowed) || isPublic(address));
    if (!isFine) throw invalid(field, `${host}, which is ${text}`, publicOnly);
    return { address: text, family: text.includes(":") ? 6 : 4 };
  });
}

/** An address in its plain form; the library takes others, too, which nothing here should meet. */
function literalIn(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  // A zone names an interface of this machine.
  if (text.includes(":") && !text.includes("%") && ipaddr.IPv6.isValid(text))
    return ipaddr.IPv6.parse(text);
  return undefined;
}

const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3");

/**
 * What no registry sets apart. Of IPv6 that is what is given out today (2000::/3), which leaves out what embeds an IPv4
 * address: mapped, compatible, translated by NAT64; and the library knows 6to4 and Teredo, whatever they embed.
 */
function isPublic(address: Address): boolean {
  if (address.range() !== "unicast") return false;
  return address.kind() === "ipv4" || (address as ipaddr.IPv6).match(globalUnicast);
}

function isAllowedName(host: string, { hosts }: AllowedTargets): boolean {
  return hosts.has(host);
}

function isAllowedAddress(address: Address, { networks }: AllowedTargets): boolean {
  return networks.some(
    ([network, bits]) =>
      network.kind() === address.kind() && address.match([network, bits] as never),
  );
}
