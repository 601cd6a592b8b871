/**
 * Creates X.509 certificates (RFC 5280) at run time: certificate authorities,
 * and certificates that they sign.
 *
 * @module
 */

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** The contents of a certificate. */
export interface CertificateRequest {
  /** The common name of the owner. */
  readonly name: string;
  /**
   * The host names and IPv4 addresses. Undefined for a certificate authority.
   */
  readonly hosts?: readonly string[];
  /** The start of the validity, in days from now. Default: yesterday. */
  readonly validFromDays?: number;
  /** The end of the validity, in days from now. Default: in a year. */
  readonly validUntilDays?: number;
  /** True for a client certificate. Undefined for a server certificate. */
  readonly isForClients?: true;
}

/** A certificate and its private key, both as PEM. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateAuthority extends IssuedCertificate {
  /** Signs a certificate for a server or client. */
  issue(request: CertificateRequest): Promise<IssuedCertificate>;
}

/** Creates a certificate authority that no system trusts. */
export async function createAuthority(
  name: string,
): Promise<CertificateAuthority> {
  const keys = await generateKeyPair();
  const { cert, key } = await signCertificate({ name }, keys, name, keys);
  const issue = async (
    request: CertificateRequest,
  ): Promise<IssuedCertificate> =>
    await signCertificate(request, await generateKeyPair(), name, keys);
  return { cert, key, issue };
}

/** Creates a self-signed server certificate. */
export async function createSelfSigned(
  request: CertificateRequest,
): Promise<IssuedCertificate> {
  const keys = await generateKeyPair();
  return await signCertificate(request, keys, request.name, keys);
}

async function generateKeyPair(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function signCertificate(
  request: CertificateRequest,
  { publicKey, privateKey }: CryptoKeyPair,
  issuer: string,
  signer: CryptoKeyPair,
): Promise<IssuedCertificate> {
  const {
    name,
    hosts,
    validFromDays = -1,
    validUntilDays = 365,
    isForClients,
  } = request;
  const ecdsaWithSha256 = encodeDer(0x30, encodeOid(1, 2, 840, 10045, 4, 3, 2));
  const serial = crypto.getRandomValues(new Uint8Array(8));
  // A serial number is positive and has no extra byte (X.690 section 8.3).
  serial[0] = serial[0]! & 0x3f | 0x40;
  const extensions = hosts === undefined
    ? [
      encodeExtension(
        [2, 5, 29, 19],
        encodeDer(0x30, encodeDer(0x01, Uint8Array.of(0xff))),
      ),
      encodeExtension([2, 5, 29, 15], encodeDer(0x03, Uint8Array.of(1, 0x06))),
    ]
    : [
      encodeExtension([2, 5, 29, 19], encodeDer(0x30)),
      encodeExtension([2, 5, 29, 15], encodeDer(0x03, Uint8Array.of(7, 0x80))),
      encodeExtension(
        [2, 5, 29, 37],
        encodeDer(
          0x30,
          encodeOid(1, 3, 6, 1, 5, 5, 7, 3, isForClients ? 2 : 1),
        ),
      ),
      encodeExtension(
        [2, 5, 29, 17],
        encodeDer(0x30, ...hosts.map(encodeHostName)),
      ),
    ];
  const content = encodeDer(
    0x30,
    encodeDer(0xa0, encodeDer(0x02, Uint8Array.of(2))),
    encodeDer(0x02, serial),
    ecdsaWithSha256,
    encodeCommonName(issuer),
    encodeDer(
      0x30,
      encodeUtcTime(validFromDays),
      encodeUtcTime(validUntilDays),
    ),
    encodeCommonName(name),
    new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
    encodeDer(0xa3, encodeDer(0x30, ...extensions)),
  );
  const signature = new Uint8Array(
    await crypto.subtle.sign(ALGORITHM, signer.privateKey, content),
  );
  const numbers = encodeDer(
    0x30,
    encodeUnsigned(signature.subarray(0, 32)),
    encodeUnsigned(signature.subarray(32)),
  );
  const bits = encodeDer(0x03, Uint8Array.of(0), numbers);
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", privateKey);
  return {
    cert: encodePem(
      "CERTIFICATE",
      encodeDer(0x30, content, ecdsaWithSha256, bits),
    ),
    key: encodePem("PRIVATE KEY", new Uint8Array(pkcs8)),
  };
}

function encodeExtension(id: readonly number[], value: Uint8Array): Uint8Array {
  return encodeDer(0x30, encodeOid(...id), encodeDer(0x04, value));
}

function encodeHostName(host: string): Uint8Array {
  return /^[\d.]+$/.test(host)
    ? encodeDer(0x87, Uint8Array.from(host.split("."), Number))
    : encodeDer(0x82, encodeUtf8(host));
}

function encodeCommonName(name: string): Uint8Array {
  return encodeDer(
    0x30,
    encodeDer(
      0x31,
      encodeDer(0x30, encodeOid(2, 5, 4, 3), encodeDer(0x0c, encodeUtf8(name))),
    ),
  );
}

/** Encodes a time as UTCTime, which covers years until 2049. */
function encodeUtcTime(days: number): Uint8Array {
  const at = new Date(Date.now() + days * 86_400_000).toISOString();
  return encodeDer(0x17, encodeUtf8(`${at.slice(2, 19).replace(/\D/g, "")}Z`));
}

function encodeUnsigned(number: Uint8Array): Uint8Array {
  const start = number.findIndex((byte) => byte !== 0);
  const short = number.subarray(start);
  const sign = short[0]! > 0x7f ? [0] : [];
  return encodeDer(0x02, Uint8Array.of(...sign, ...short));
}

function encodeOid(...[first, second, ...rest]: number[]): Uint8Array {
  const digits = rest.flatMap((part) => {
    const base128 = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) {
      base128.unshift(left & 0x7f | 0x80);
    }
    return base128;
  });
  return encodeDer(0x06, Uint8Array.of(first! * 40 + second!, ...digits));
}

/** Encodes a value with its tag and length (X.690 section 8.1). */
function encodeDer(
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

function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function encodePem(label: string, content: Uint8Array): string {
  const lines = content.toBase64().match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${
    lines.join("\n")
  }\n-----END ${label}-----\n`;
}
