"""The rules of the protocol in plain Python: hashlib and a plain Ed25519 package, nothing shared with the Rust code.

Used by vectors.py only. Short and slow on purpose.
"""
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# --- primitives


def H(data):
    return hashlib.sha256(data).digest()


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


def u256(n):
    return n.to_bytes(32, "big")


def seed(name):
    """Secret key (or any other fixed 32 bytes) called `name`."""
    return H(b"blockhie vectors: " + name.encode())


def public(secret):
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(secret, message):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(message)


# Curve25519's field and Edwards curve, for the rule on keys only.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(encoded):
    """Affine point of an encoding, y taken mod p as ZIP-215 does; None if there is none."""
    n = int.from_bytes(encoded, "little")
    y, odd = (n & (2**255 - 1)) % P, n >> 255
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - xx) % P:
        return None
    return ((P - x) % P if x & 1 != odd else x, y)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P)


def key_fault(key):
    """None if a key field may hold `key`, else why not."""
    at = point(key)
    if at is None:
        return "not a point"
    if (at[1] | (at[0] & 1) << 255).to_bytes(32, "little") != key:
        return "does not re-encode identically"
    for _ in range(3):
        at = add(at, at)
    return "small order" if at == (0, 1) else None


# --- RFC 9162


def split(n):
    """Largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def head(leaves):
    if not leaves:
        return H(b"")
    if len(leaves) == 1:
        return H(b"\0" + leaves[0])
    k = split(len(leaves))
    return H(b"\1" + head(leaves[:k]) + head(leaves[k:]))


def path(index, leaves):
    if len(leaves) <= 1:
        return []
    k = split(len(leaves))
    if index < k:
        return path(index, leaves[:k]) + [head(leaves[k:])]
    return path(index - k, leaves[k:]) + [head(leaves[:k])]


# --- targets and the difficulty rule

LEAST = 0x03008000


def compact_fault(compact):
    e, m = compact >> 24, compact & 0xFFFFFF
    if not 3 <= e <= 32:
        return "exponent outside 3..=32"
    if not 0x008000 <= m <= 0x7FFFFF:
        return "mantissa outside 0x008000..=0x7fffff"
    return None


def decode(compact):
    assert compact_fault(compact) is None, hex(compact)
    return (compact & 0xFFFFFF) << 8 * ((compact >> 24) - 3)


def encode(target):
    e = max(3, (target.bit_length() + 8) // 8)  # one bit more than bitlen: the mantissa's top bit stays clear
    compact = e << 24 | target >> 8 * (e - 3)
    assert compact_fault(compact) is None, hex(target)
    return compact


def work(compact):
    return 2**256 // (decode(compact) + 1)


def factor(f):
    return 65536 + ((195766423245049 * f + 971821376 * f**2 + 5127 * f**3 + 2**47) >> 48)


def asert(lag, half_life, first, most):
    """(x, n, f, target before the compact form truncates it) after a lag in the unit of half_life."""
    x = abs(lag) * 65536 // half_life * (1 if lag >= 0 else -1)
    n, f = x >> 16, x & 0xFFFF
    if n >= 240:
        target = decode(most)
    elif n <= -241:
        target = decode(LEAST)
    else:
        product = decode(first) * factor(f)
        target = product << n - 16 if n >= 16 else product >> 16 - n
    return x, n, f, max(decode(LEAST), min(decode(most), target))


def lags(times, T, half_life, first, most):
    """λ of each block, the first being genesis."""
    most_lag = half_life * (decode(most).bit_length() - decode(first).bit_length() + 1)
    out = [0]
    for before, now in zip(times, times[1:]):
        out.append(min(out[-1] + min(now - before, 288 * T) - T, most_lag))
    return out


# --- genesis, transactions, blocks, receipts


def genesis(name, kind=1, members=(), nonce=None, **over):
    """Fields of a genesis; `members` are names, their secrets follow from them."""
    n = len(members)
    fields = dict(kind=kind, name=name, nonce=nonce or seed("nonce " + name), time_ms=1_750_000_000_000, t_ms=1000,
                  first_target=0x2000FFFF, most_target=0x207FFFFF, half_life_ms=144_000, m=500, max_bytes=1 << 20, w=0, l=0,
                  spacing=max(0, (n - 1) // 2) if n > 2 else 0, quorum=2 * n // 3 + 1 if n else 0)
    fields |= over
    fields["members"] = sorted(({"key": public(seed(who)), "name": who, "secret": seed(who)} for who in members), key=lambda e: e["key"])
    g = fields
    text = lambda s: u16(len(s.encode())) + s.encode()
    raw = (u8(1) + u8(g["kind"]) + text(name) + g["nonce"] + u64(g["time_ms"]) + u32(g["t_ms"]) + u32(g["first_target"])
           + u32(g["most_target"]) + u64(g["half_life_ms"]) + u32(g["m"]) + u32(g["max_bytes"]) + u8(g["w"]) + u8(g["l"])
           + u8(g["spacing"]) + u8(g["quorum"]) + u16(n) + b"".join(e["key"] + text(e["name"]) for e in g["members"]))
    return fields | {"bytes": raw, "chain_id": H(b"blockhie/chain/v1\0" + raw)}


def varint(n):
    out = b""
    while n > 127:
        out, n = out + u8(n & 127 | 128), n >> 7
    return out + u8(n)


def proto(*fields):
    """Canonical encoding of (tag, int or bytes): ascending tags, shortest varints, no default written."""
    out = b""
    for tag, value in fields:
        if isinstance(value, int):
            out += varint(tag << 3) + varint(value) if value else b""
        else:
            out += varint(tag << 3 | 2) + varint(len(value)) + value if value else b""
    return out


def transaction(name, chain_id, secret, time_ms, kind, payload, to=None):
    common = u64(time_ms) + u32(kind) + public(secret) + (b"\0" if to is None else b"\1" + to)
    message = b"blockhie/tx-sign/v1\0" + chain_id + common + u32(len(payload)) + payload
    body = b"\1" + sign(secret, message) + payload
    canonical = common + u32(len(body)) + body
    return {"name": name, "chain_id": chain_id, "secret": secret, "from": public(secret), "time_ms": time_ms, "type": kind, "to": to,
            "payload": payload, "signing_bytes": message, "signature": body[1:65], "body": body, "canonical": canonical,
            "txhash": H(b"blockhie/tx/v1\0" + chain_id + canonical)}


def header(chain_id, previous, transactions, history, miner, height, time_ms, target, nonce=0, siblings=()):
    """Fields of a block; lists are turned into their heads."""
    fields = {"chain_id": chain_id, "previous": previous, "tx_root": head(transactions), "history_root": head(history),
              "siblings_root": head(siblings), "miner": miner, "height": height, "time_ms": time_ms, "tx_count": len(transactions),
              "target": target, "nonce": nonce, "txhashes": list(transactions), "siblings": list(siblings)}
    return seal(fields)


def seal(fields):
    f = fields
    raw = (b"blockhie/block/1" + f["chain_id"] + f["previous"] + f["tx_root"] + f["history_root"] + f["siblings_root"] + f["miner"]
           + u64(f["height"]) + u64(f["time_ms"]) + u32(f["tx_count"]) + u32(f["target"]) + u64(f["nonce"]))
    assert len(raw) == 240
    return fields | {"preimage": raw, "blockhash": H(raw)}


def block_sign(block, secret):
    message = b"blockhie/block-sign/v1\0" + block["chain_id"] + block["blockhash"]
    return block | {"secret": secret, "signing_bytes": message, "signature": sign(secret, message)}


def first_block(g):
    return header(g["chain_id"], bytes(32), [], [], bytes(32), 0, g["time_ms"], g["first_target"]) | {"signature": b""}


def mine(g, chain, who, time_ms, transactions):
    """The next block of `chain` by the member `who`, with the target that the rule says and enough work."""
    rule = [g[k] for k in ("half_life_ms", "first_target", "most_target")]
    lag = lags([b["time_ms"] for b in chain], g["t_ms"], *rule)[-1]
    block = header(g["chain_id"], chain[-1]["blockhash"], transactions, [b["blockhash"] for b in chain], public(seed(who)),
                   len(chain), time_ms, encode(asert(lag, *rule)[3]))
    while int.from_bytes(block["blockhash"], "big") > decode(block["target"]):
        block = seal(block | {"nonce": block["nonce"] + 1})
    return block_sign(block, seed(who))


def compact_json(value):
    """The one encoding of receipts and openings: keys in the order given, no white space, a final newline."""
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=True) + "\n"


def content(salt, media_type, data):
    return H(b"blockhie/content/v1\0" + salt + u16(len(media_type)) + media_type.encode() + u64(len(data)) + data)


def commitment(chain_id, issuer, addressee, digest):
    return H(b"blockhie/record/v1\0" + chain_id + issuer + (b"\0" if addressee is None else b"\1" + addressee) + digest)


def hkdf(secret, info, length):
    """HKDF-SHA256 without salt, up to one block."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")[:length]


def hchacha20(key, nonce16):
    little = lambda raw: [int.from_bytes(raw[i:i + 4], "little") for i in range(0, len(raw), 4)]
    state = little(b"expand 32-byte k" + key + nonce16)
    turn = lambda n, by: (n << by | n >> 32 - by) & 0xFFFFFFFF
    columns, diagonals = [(i, 4 + i, 8 + i, 12 + i) for i in range(4)], [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]
    for a, b, c, d in (columns + diagonals) * 10:
        for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            state[z] = turn(state[z] ^ state[x], by)
    return b"".join(n.to_bytes(4, "little") for n in state[:4] + state[12:])


def xchacha20poly1305(key, nonce24, plaintext, associated):
    return ChaCha20Poly1305(hchacha20(key, nonce24[:16])).encrypt(bytes(4) + nonce24[16:], plaintext, associated)


def zigzag(n):
    return varint(2 * n if n >= 0 else -2 * n - 1)


def column(texts, even):
    """A column of decimal texts: largest scale, scales if they differ, then differences (of differences)."""
    scales = [len(t.partition(".")[2]) for t in texts]
    top = max(scales)
    numbers = [int(t.replace(".", "")) * 10 ** (top - s) for t, s in zip(texts, scales)]
    out = u8(top) + (b"\0" if set(scales) == {top} else b"\1" + bytes(scales))
    last = step = 0
    for n in numbers:
        out += zigzag(n - last - step)
        step, last = (n - last if even else 0), n
    return out


def segment_body(code, unit, start_ms, skipped, header, crlf, final_newline, clock, rate, offsets, values):
    short = lambda t: u8(len(t.encode())) + t.encode()
    out = short(code) + short(unit) + varint(start_ms) + varint(skipped)
    out += u8(crlf | (not final_newline) << 1 | (header is not None) << 2 | (clock is not None) << 3)
    out += (b"" if header is None else short(header)) + (b"" if clock is None else u8(clock))
    if offsets is None:
        scale = len(rate.partition(".")[2])
        out += b"\0" + varint(int(rate.replace(".", ""))) + u8(scale) + varint(len(values))
    else:
        out += b"\1" + varint(len(values)) + column(offsets, True)
    return out + column(values, False)


def segment_data(body):
    """DEFLATE in stored blocks: the one form that every compressor's version agrees on."""
    blocks = [body[i:i + 65_535] for i in range(0, len(body), 65_535)]
    stored = b"".join(u8(i == len(blocks) - 1) + len(b).to_bytes(2, "little") + (len(b) ^ 0xFFFF).to_bytes(2, "little") + b for i, b in enumerate(blocks))
    return u8(1) + u32(len(body)) + stored


def plain(value):
    """Bytes become lowercase hex, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
