/**
 * X.509 certificates (RFC 5280), made on the spot: a certificate authority, and
 * what it signs.
 *
 * @module
 */

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** What a certificate says. */
export interface Wish {
  /** The common name of its owner. */
  readonly name: string;
  /** The names and IPv4 addresses that it is for; none for an authority's own. */
  readonly hosts?: readonly string[];
  /** When it becomes valid, in days from now. */
  readonly from?: number;
  /** When it ends to be valid, in days from now. */
  readonly until?: number;
  /** Whether it is for clients, not for servers. */
  readonly isForClients?: true;
}

/** A certificate with its private key, both as PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority. */
export interface Authority extends Issued {
  /** Signs what another is to show. */
  issue(wish: Wish): Promise<Issued>;
}

/** Makes a certificate authority that nobody knows. */
export async function authority(name: string): Promise<Authority> {
  const keys = await pair();
  const { cert, key } = await certificate({ name }, keys, name, keys);
  const issue = async (wish: Wish): Promise<Issued> =>
    await certificate(wish, await pair(), name, keys);
  return { cert, key, issue };
}

/** Makes a server's certificate that nobody has signed but itself. */
export async function selfSigned(wish: Wish): Promise<Issued> {
  const keys = await pair();
  return await certificate(wish, keys, wish.name, keys);
}

async function pair(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function certificate(
  wish: Wish,
  { publicKey, privateKey }: CryptoKeyPair,
  issuer: string,
  signer: CryptoKeyPair,
): Promise<Issued> {
  const { name, hosts, from = -1, until = 365, isForClients } = wish;
  const ecdsaWithSha256 = der(0x30, oid(1, 2, 840, 10045, 4, 3, 2));
  const serial = crypto.getRandomValues(new Uint8Array(8));
  // A positive number in its shortest form (X.690 section 8.3).
  serial[0] = serial[0]! & 0x3f | 0x40;
  const extensions = hosts === undefined
    ? [
      extension([2, 5, 29, 19], der(0x30, der(0x01, Uint8Array.of(0xff)))),
      extension([2, 5, 29, 15], der(0x03, Uint8Array.of(1, 0x06))),
    ]
    : [
      extension([2, 5, 29, 19], der(0x30)),
      extension([2, 5, 29, 15], der(0x03, Uint8Array.of(7, 0x80))),
      extension(
        [2, 5, 29, 37],
        der(0x30, oid(1, 3, 6, 1, 5, 5, 7, 3, isForClients ? 2 : 1)),
      ),
      extension([2, 5, 29, 17], der(0x30, ...hosts.map(hostName))),
    ];
  const content = der(
    0x30,
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, serial),
    ecdsaWithSha256,
    commonName(issuer),
    der(0x30, time(from), time(until)),
    commonName(name),
    new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
    der(0xa3, der(0x30, ...extensions)),
  );
  const signature = new Uint8Array(
    await crypto.subtle.sign(ALGORITHM, signer.privateKey, content),
  );
  const numbers = der(
    0x30,
    unsigned(signature.subarray(0, 32)),
    unsigned(signature.subarray(32)),
  );
  const bits = der(0x03, Uint8Array.of(0), numbers);
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", privateKey);
  return {
    cert: pem("CERTIFICATE", der(0x30, content, ecdsaWithSha256, bits)),
    key: pem("PRIVATE KEY", new Uint8Array(pkcs8)),
  };
}

function extension(id: readonly number[], value: Uint8Array): Uint8Array {
  return der(0x30, oid(...id), der(0x04, value));
}

function hostName(host: string): Uint8Array {
  return /^[\d.]+$/.test(host)
    ? der(0x87, Uint8Array.from(host.split("."), Number))
    : der(0x82, bytes(host));
}

function commonName(name: string): Uint8Array {
  return der(
    0x30,
    der(0x31, der(0x30, oid(2, 5, 4, 3), der(0x0c, bytes(name)))),
  );
}

/** A moment as UTCTime, which says years until 2049. */
function time(days: number): Uint8Array {
  const at = new Date(Date.now() + days * 86_400_000).toISOString();
  return der(0x17, bytes(`${at.slice(2, 19).replace(/\D/g, "")}Z`));
}

function unsigned(number: Uint8Array): Uint8Array {
  const start = number.findIndex((byte) => byte !== 0);
  const short = number.subarray(start);
  const sign = short[0]! > 0x7f ? [0] : [];
  return der(0x02, Uint8Array.of(...sign, ...short));
}

function oid(...[first, second, ...rest]: number[]): Uint8Array {
  const digits = rest.flatMap((part) => {
    const base128 = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) {
      base128.unshift(left & 0x7f | 0x80);
    }
    return base128;
  });
  return der(0x06, Uint8Array.of(first! * 40 + second!, ...digits));
}

/** A value with its tag and length (X.690 section 8.1). */
function der(
  tag: number,
  ...parts: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  const content = parts.flatMap((part) => [...part]);
  const size = content.length;
  const length = size < 0x80
    ? [size]
    : size < 0x100
    ? [0x81, size]
    : [0x82, size >> 8, size & 0xff];
  return Uint8Array.of(tag, ...length, ...content);
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function pem(label: string, content: Uint8Array): string {
  const lines = content.toBase64().match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${
    lines.join("\n")
  }\n-----END ${label}-----\n`;
}
