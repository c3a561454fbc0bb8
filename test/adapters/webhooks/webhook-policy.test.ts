import { describe, expect, it } from "vitest";
import {
  addressesToCall,
  allowedTargets,
  hostToCall,
} from "../../../src/adapters/webhooks/webhook-policy.ts";
import { isBrokerError } from "../../../src/broker/errors.ts";

const nothing = allowedTargets([]);

/** Each can be seen to be hostile without asking a resolver. */
const hostile: readonly (readonly [why: string, url: string])[] = [
  ["no TLS", "http://hooks.example.com/"],
  ["another scheme", "file:///etc/passwd"],
  ["another scheme with a host", "gopher://hooks.example.com/"],
  ["no URL", "hooks.example.com/checks"],
  ["nothing", ""],
  ["a user", "https://user@hooks.example.com/"],
  ["a user and a password", "https://user:secret@hooks.example.com/"],
  ["a host that hides before an at sign", "https://hooks.example.com@127.0.0.1/"],
  ["another port", "https://hooks.example.com:8443/"],
  ["port 80", "https://8.8.8.8:80/"],
  ["a space before it", " https://hooks.example.com/"],
  ["a tab that the parser drops", "https://127.0.\t0.1/"],
  ["a backslash", "https:\\\\127.0.0.1\\"],
  ["loopback", "https://127.0.0.1/"],
  ["all of loopback", "https://127.255.255.254/"],
  ["loopback, short", "https://127.1/"],
  ["loopback, decimal", "https://2130706433/"],
  ["loopback, hexadecimal", "https://0x7f000001/"],
  ["loopback, hexadecimal by parts", "https://0x7f.0x0.0x0.0x1/"],
  ["loopback, octal", "https://0177.0.0.1/"],
  ["loopback, octal as one number", "https://017700000001/"],
  ["loopback, with a dot behind it", "https://127.0.0.1./"],
  ["loopback, escaped", "https://%31%32%37.0.0.1/"],
  ["loopback, in full-width digits", "https://１２７.０.０.１/"],
  ["loopback, in circled digits", "https://①②⑦.⓪.⓪.①/"],
  ["loopback, with ideographic full stops", "https://127。0。0。1/"],
  ["localhost", "https://localhost/"],
  ["localhost in capitals", "https://LOCALHOST/"],
  ["localhost with a dot behind it", "https://localhost./"],
  ["localhost in full-width letters", "https://ｌｏｃａｌｈｏｓｔ/"],
  ["below localhost", "https://a.localhost/"],
  ["a name without a dot", "https://intranet/"],
  ["a name of this network", "https://printer.local/"],
  ["an internal name", "https://metadata.google.internal/"],
  ["an internal name with a dot behind it", "https://metadata.google.internal./"],
  ["a name of a home", "https://router.home.arpa/"],
  ["metadata", "https://169.254.169.254/latest/meta-data/"],
  ["metadata, decimal", "https://2852039166/"],
  ["metadata, hexadecimal", "https://0xa9fea9fe/"],
  ["metadata, partly octal", "https://0251.254.169.254/"],
  ["metadata by IPv6", "https://[fd00:ec2::254]/"],
  ["private 10/8", "https://10.1.2.3/"],
  ["private 10/8, short", "https://10.1/"],
  ["private 172.16/12", "https://172.31.255.255/"],
  ["private 192.168/16", "https://192.168.0.1/"],
  ["carrier-grade NAT", "https://100.64.0.1/"],
  ["the end of carrier-grade NAT", "https://100.127.255.255/"],
  ["unspecified", "https://0.0.0.0/"],
  ["unspecified, short", "https://0/"],
  ["this network", "https://0.1.2.3/"],
  ["benchmarks", "https://198.19.255.255/"],
  ["documentation 1", "https://192.0.2.1/"],
  ["documentation 2", "https://198.51.100.1/"],
  ["documentation 3", "https://203.0.113.1/"],
  ["protocol assignments", "https://192.0.0.1/"],
  ["multicast", "https://224.0.0.1/"],
  ["reserved", "https://240.0.0.1/"],
  ["broadcast", "https://255.255.255.255/"],
  ["loopback by IPv6", "https://[::1]/"],
  ["loopback by IPv6, in full", "https://[0:0:0:0:0:0:0:1]/"],
  ["unspecified by IPv6", "https://[::]/"],
  ["mapped loopback", "https://[::ffff:127.0.0.1]/"],
  ["mapped loopback in hexadecimal", "https://[::ffff:7f00:1]/"],
  ["mapped public", "https://[::ffff:8.8.8.8]/"],
  ["compatible loopback", "https://[::127.0.0.1]/"],
  ["translated (SIIT) loopback", "https://[::ffff:0:127.0.0.1]/"],
  ["NAT64 of metadata", "https://[64:ff9b::169.254.169.254]/"],
  ["local NAT64 of 10/8", "https://[64:ff9b:1::10.0.0.1]/"],
  ["6to4 of 10/8", "https://[2002:a00:1::]/"],
  ["6to4 of loopback", "https://[2002:7f00:1::1]/"],
  ["Teredo", "https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/"],
  ["unique local", "https://[fc00::1]/"],
  ["link-local by IPv6", "https://[fe80::1]/"],
  ["link-local with a zone", "https://[fe80::1%25eth0]/"],
  ["loopback with a zone", "https://[::1%25lo]/"],
  ["site-local", "https://[fec0::1]/"],
  ["multicast by IPv6", "https://[ff02::1]/"],
  ["documentation by IPv6", "https://[2001:db8::1]/"],
  ["benchmarks by IPv6", "https://[2001:2::1]/"],
  ["discard only", "https://[100::1]/"],
  ["what nobody was given yet", "https://[4000::1]/"],
  ["too many parts", "https://1.2.3.4.5/"],
  ["a part that is too large", "https://1.2.3.256/"],
];

const fine: readonly (readonly [url: string, host: string])[] = [
  ["https://hooks.example.com/checks?shop=1", "hooks.example.com"],
  ["https://hooks.example.com:443/", "hooks.example.com"],
  ["https://HOOKS.example.com./", "hooks.example.com"],
  ["https://bücher.example/", "xn--bcher-kva.example"],
  ["https://8.8.8.8/", "8.8.8.8"],
  ["https://134744072/", "8.8.8.8"],
  ["https://[2606:4700:4700::1111]/", "2606:4700:4700::1111"],
  ["https://localhost.example.com/", "localhost.example.com"],
  ["https://172.32.0.1/", "172.32.0.1"],
];

/** What a resolver answers, of which one address at least is not public. */
const hostileAnswers: readonly (readonly string[])[] = [
  ["127.0.0.1"],
  ["10.0.0.1"],
  ["169.254.169.254"],
  ["100.64.0.1"],
  ["0.0.0.0"],
  ["::1"],
  ["fd00:ec2::254"],
  ["fe80::1%eth0"],
  ["::ffff:10.0.0.1"],
  ["64:ff9b::7f00:1"],
  ["8.8.8.8", "192.168.0.1"],
  ["2606:4700:4700::1111", "::1"],
  ["8.8.8.8", "2002:a00:1::"],
  ["no address"],
  ["127.1"],
  [],
];

describe("the addresses that a broker may call", () => {
  it.each(hostile)("are not: %s, %s", (_, url) => {
    expectRefusal(() => hostToCall(url, nothing, "checkUrl"));
  });

  it.each(fine)("are: %s", (url, host) => {
    expect(hostToCall(url, nothing, "checkUrl")).toBe(host);
  });

  it.each(hostileAnswers.map((answer) => [answer]))(
    "are not those of a name that leads to %j",
    (answer) => {
      expectRefusal(() => addressesToCall("hooks.example.com", answer, nothing, "checkUrl"));
    },
  );

  it("are those of a name that leads to public ones alone", () => {
    const answers = ["2606:4700:4700::1111", "8.8.8.8"];
    expect(addressesToCall("hooks.example.com", answers, nothing, "checkUrl")).toEqual([
      { address: "2606:4700:4700::1111", family: 6 },
      { address: "8.8.8.8", family: 4 },
    ]);
  });
});

describe("an allow list", () => {
  const allowed = allowedTargets(["Hooks.Internal", "10.1.0.0/16", "127.0.0.1", "fd00::/8"]);

  it("lets through what it names, on any port, and by any notation", () => {
    for (const url of [
      "https://hooks.internal:8443/",
      "https://hooks.internal./",
      "https://10.1.2.3:9000/",
      "https://127.1/",
      "https://[fd00::1]:8443/",
    ])
      expect(() => hostToCall(url, allowed, "checkUrl")).not.toThrow();
    const call = (host: string, ...answers: string[]) =>
      addressesToCall(host, answers, allowed, "checkUrl").map(({ address }) => address);
    expect(call("hooks.internal", "192.168.0.1")).toEqual(["192.168.0.1"]);
    expect(call("hooks.example.com", "10.1.0.1", "8.8.8.8")).toEqual(["10.1.0.1", "8.8.8.8"]);
  });

  it("lets nothing else through, not even in part", () => {
    for (const url of [
      "http://hooks.internal/",
      "https://user@hooks.internal/",
      "https://other.internal/",
      "https://a.hooks.internal/",
      "https://10.2.0.1/",
      "https://127.0.0.2/",
      "https://[::ffff:10.1.0.1]/",
      "https://hooks.example.com:8443/",
    ])
      expectRefusal(() => hostToCall(url, allowed, "checkUrl"));
    expectRefusal(() =>
      addressesToCall("hooks.example.com", ["10.1.0.1", "10.2.0.1"], allowed, "checkUrl"),
    );
  });

  it.each([
    "10.0.0.0/33",
    "https://hooks.internal",
    "hooks.internal:443",
    "*.internal",
    "",
    "10.1",
  ])("does not take %j", (entry) => {
    expect(() => allowedTargets([entry])).toThrow(`"${entry}" is no host name, address or network`);
  });
});

function expectRefusal(act: () => unknown): void {
  let refusal: unknown;
  try {
    act();
  } catch (error) {
    refusal = error;
  }
  if (!isBrokerError(refusal)) throw new Error("it was let through", { cause: refusal });
  expect(refusal.code).toBe("invalid");
  expect(refusal.details).toMatchObject({
    field: "checkUrl",
    allowed: expect.stringContaining("https"),
  });
}
