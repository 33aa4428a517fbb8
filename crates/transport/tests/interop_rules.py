"""What interop.py knows of the protocol, written from its text: bytes, hashes, targets, and the judgement of a chain.

Pure functions; no network, no clock, nothing of the Rust code. Errors are returned or raised as `Fault` with expected and got.
"""
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LEAST = 0x03008000
SMALL_ORDER = bytes([1]) + bytes(31)  # the identity: as a key, one signature would fit every message


class Fault(Exception):
    """A rule that does not hold."""


def need(what, expected, got):
    if expected != got:
        show = lambda v: v.hex() if isinstance(v, bytes) else v
        raise Fault(f"{what}: expected {show(expected)}, got {show(got)}")


def H(data):
    return hashlib.sha256(data).digest()


def be(n, size):
    return n.to_bytes(size, "big")


def number(data):
    return int.from_bytes(data, "big")


# --- keys


def public(secret):
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(secret, message):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(message)


def verifies(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- RFC 9162


def head(leaves):
    if not leaves:
        return H(b"")
    if len(leaves) == 1:
        return H(b"\0" + leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return H(b"\1" + head(leaves[:k]) + head(leaves[k:]))


class Log:
    """The head of a growing list, by its peaks: (size, head) of the perfect trees from the left."""

    def __init__(self):
        self.peaks = []

    def push(self, leaf):
        size, top = 1, H(b"\0" + leaf)
        while self.peaks and self.peaks[-1][0] == size:
            size, top = size * 2, H(b"\1" + self.peaks.pop()[1] + top)
        self.peaks.append((size, top))

    def head(self):
        if not self.peaks:
            return H(b"")
        top = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            top = H(b"\1" + left + top)
        return top


# --- targets


def canonical(compact):
    return 3 <= compact >> 24 <= 32 and 0x008000 <= compact & 0xFFFFFF <= 0x7FFFFF


def decode(compact):
    if not canonical(compact):
        raise Fault(f"compact target: expected a canonical one, got {compact:08x}")
    return (compact & 0xFFFFFF) << 8 * ((compact >> 24) - 3)


def encode(target):
    e = max(3, target.bit_length() // 8 + 1)
    return e << 24 | target >> 8 * (e - 3)


def work(compact):
    return (1 << 256) // (decode(compact) + 1)


def child_target(g, lag):
    """Compact target of a child of a block whose λ is `lag`."""
    x = abs(lag) * 65536 // g["half_life_ms"]
    x = x if lag >= 0 else -x
    n, f = x >> 16, x & 0xFFFF
    least, most = decode(LEAST), decode(g["most_target"])
    if n >= 240:
        return encode(most)
    if n <= -241:
        return LEAST
    product = decode(g["first_target"]) * (65536 + ((195766423245049 * f + 971821376 * f * f + 5127 * f**3 + (1 << 47)) >> 48))
    target = product << n - 16 if n >= 16 else product >> 16 - n
    return encode(max(least, min(target, most)))


def next_lag(g, lag, gap):
    """λ of a block from its parent's λ and the time between them."""
    bits = lambda compact: decode(compact).bit_length()
    most = g["half_life_ms"] * (bits(g["most_target"]) - bits(g["first_target"]) + 1)
    return min(lag + min(gap, 288 * g["t_ms"]) - g["t_ms"], most)


# --- genesis


def parse_genesis(raw):
    at = 0

    def take(n):
        nonlocal at
        at += n
        if at > len(raw):
            raise Fault(f"genesis: expected at least {at} bytes, got {len(raw)}")
        return raw[at - n:at]

    need("genesis version", 1, number(take(1)))
    g = {"kind": number(take(1)), "name": take(number(take(2))).decode(), "nonce": take(32)}
    for field, size in (("time_ms", 8), ("t_ms", 4), ("first_target", 4), ("most_target", 4), ("half_life_ms", 8), ("m", 4), ("max_bytes", 4), ("w", 1),
                        ("l", 1), ("spacing", 1), ("quorum", 1)):
        g[field] = number(take(size))
    g["members"] = [(take(32), take(number(take(2))).decode()) for _ in range(number(take(2)))]
    need("genesis length", at, len(raw))
    g["chain_id"] = H(b"blockhie/chain/v1\0" + raw)
    g["ahead_ms"] = max(5_000, 10 * g["t_ms"])
    return g


# --- transactions


def common(t):
    to = b"\0" if t.get("txto") is None else b"\1" + t["txto"]
    return t["unixtime"] + be(t["type"] & 0xFFFFFFFF, 4) + t["txfrom"] + to


def signing_bytes(chain_id, t, payload):
    return b"blockhie/tx-sign/v1\0" + chain_id + common(t) + be(len(payload), 4) + payload


def txhash(chain_id, t):
    return H(b"blockhie/tx/v1\0" + chain_id + common(t) + be(len(t["body"]), 4) + t["body"])


def make_transaction(chain_id, secret, time_ms, kind, payload, to=None):
    t = {"unixtime": be(time_ms, 8), "type": kind, "txfrom": public(secret)}
    if to is not None:
        t["txto"] = to
    t["body"] = b"\1" + sign(secret, signing_bytes(chain_id, t, payload)) + payload
    return t | {"txhash": txhash(chain_id, t)}


def record_payload(commitment):
    return b"\x0a\x20" + commitment


def record_commitment(chain_id, issuer, addressee, salt, media_type, data):
    content = H(b"blockhie/content/v1\0" + salt + be(len(media_type), 2) + media_type.encode() + be(len(data), 8) + data)
    return H(b"blockhie/record/v1\0" + chain_id + issuer + (b"\0" if addressee is None else b"\1" + addressee) + content)


def judge_transaction(g, t):
    """Lengths, hash, signature and, of a RECORD, the payload."""
    for field, size in (("unixtime", 8), ("txfrom", 32), ("txhash", 32)):
        need(f"length of {field}", size, len(t[field]))
    need("txhash", txhash(g["chain_id"], t), t["txhash"])
    need("first byte of the body", b"\1", t["body"][:1])
    payload = t["body"][65:]
    need("signature of the transaction", True, verifies(t["txfrom"], signing_bytes(g["chain_id"], t, payload), t["body"][1:65]))
    if t["type"] == 1:
        need("payload of a RECORD", record_payload(payload[2:]), payload)
        need("length of the commitment", 32, len(payload) - 2)
        need("txto of a RECORD", None, t.get("txto"))


# --- blocks: dicts with the wire's names; siblinghash, minersignature (None: absent), historyroot (None: absent)


def header(g, b, history):
    return (b"blockhie/block/1" + g["chain_id"] + b["previoushash"] + head(b["txshash"]) + history + head(b["siblinghash"]) + b["miner"] + be(b["height"], 8)
            + b["unixtime"] + be(len(b["txshash"]), 4) + b["difficulty"] + b["answer"])


def genesis_block(g):
    b = {"height": 0, "unixtime": be(g["time_ms"], 8), "previoushash": bytes(32), "difficulty": be(g["first_target"], 4), "answer": bytes(8), "txshash": [],
         "miner": bytes(32), "number": 0, "siblinghash": [], "minersignature": None, "historyroot": None}
    return b | {"blockhash": H(header(g, b, H(b"")))}


def sign_block(g, b, secret):
    return b | {"minersignature": sign(secret, b"blockhie/block-sign/v1\0" + g["chain_id"] + b["blockhash"])}


class Chain:
    """Blocks from genesis on, each judged when it is added."""

    def __init__(self, g):
        self.g, self.blocks, self.lag, self.work, self.log, self.seen = g, [], 0, 0, Log(), set()

    def add(self, b):
        """Adds the next block; raises Fault if any rule does not hold, and then changes nothing."""
        g, h = self.g, len(self.blocks)
        for field, size in (("unixtime", 8), ("previoushash", 32), ("blockhash", 32), ("difficulty", 4), ("answer", 8), ("miner", 32)):
            need(f"length of {field}", size, len(b[field]))
        need("height", h, b["height"])
        need("number", len(b["txshash"]), b["number"])
        need("length of each txshash", {32}, {len(t) for t in b["txshash"]} | {32})
        need("within m", True, len(b["txshash"]) <= g["m"])
        need("siblings within L", True, len(b["siblinghash"]) <= g["l"])
        if h == 0:
            want = genesis_block(g)
            for field in ("unixtime", "previoushash", "difficulty", "answer", "txshash", "miner", "blockhash"):
                need(f"{field} of the genesis block", want[field], b[field])
        else:
            self.judge(b)
            gap = number(b["unixtime"]) - number(self.blocks[-1]["unixtime"])
            self.lag, self.work = next_lag(g, self.lag, gap), self.work + work(number(b["difficulty"]))
        self.blocks.append(b)
        self.log.push(b["blockhash"])
        self.seen |= set(b["txshash"])

    def judge(self, b):
        g, parent = self.g, self.blocks[-1]
        need("previoushash", parent["blockhash"], b["previoushash"])
        if b["historyroot"] is not None:
            need("historyroot", self.log.head(), b["historyroot"])
        need("blockhash", H(header(g, b, self.log.head())), b["blockhash"])
        need("difficulty", be(child_target(g, self.lag), 4), b["difficulty"])
        need("hash not above the target", True, number(b["blockhash"]) <= decode(number(b["difficulty"])))
        if g["members"]:
            need("miner among the members", True, b["miner"] in [key for key, _ in g["members"]])
            need("length of minersignature", 64, len(b["minersignature"] or b""))
            need("minersignature", True, verifies(b["miner"], b"blockhie/block-sign/v1\0" + g["chain_id"] + b["blockhash"], b["minersignature"]))
        else:
            need("minersignature of an open chain", None, b["minersignature"])
        need("time above the parent's", True, b["unixtime"] > parent["unixtime"])
        if g["spacing"]:
            recent = [a["miner"] for a in self.blocks[1:][-g["spacing"]:]]
            need("miner apart from its last blocks", True, b["miner"] not in recent)
        need("transactions distinct", len(b["txshash"]), len(set(b["txshash"])))
        need("transactions not committed before", set(), self.seen & set(b["txshash"]))

    def child(self, miner, time_ms, txs=(), tries=1 << 22, enough=True, **over):
        """An unsigned child of the tip, mined (`enough`) or with a hash above its target; None when `tries` do not do."""
        b = {"height": len(self.blocks), "unixtime": be(time_ms, 8), "previoushash": self.blocks[-1]["blockhash"], "difficulty": be(child_target(self.g, self.lag), 4),
             "answer": bytes(8), "txshash": list(txs), "miner": miner, "number": len(txs), "siblinghash": [], "minersignature": None,
             "historyroot": self.log.head()} | over
        raw = header(self.g, b, self.log.head())
        start, target = hashlib.sha256(raw[:232]), decode(number(b["difficulty"]))
        for nonce in range(tries):
            trial = start.copy()
            trial.update(be(nonce, 8))
            if (number(trial.digest()) <= target) == enough:
                return b | {"answer": be(nonce, 8), "blockhash": trial.digest()}
        return None


# --- the wire, for what the frozen contract does not name


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def wire_bytes(tag, value):
    return varint(tag << 3 | 2) + varint(len(value)) + value


def wire_fields(raw):
    """(tag, value) of a message's fields: integers, or bytes."""
    at, out = 0, []

    def read():
        nonlocal at
        n, shift = 0, 0
        while True:
            byte, at = raw[at], at + 1
            n, shift = n | (byte & 127) << shift, shift + 7
            if byte < 128:
                return n

    while at < len(raw):
        key = read()
        if key & 7 == 0:
            out.append((key >> 3, read()))
        elif key & 7 == 2:
            size = read()
            out.append((key >> 3, raw[at:at + size]))
            at += size
        else:
            raise Fault(f"wire type: expected 0 or 2, got {key & 7}")
    return out


def extensions(b):
    """Tags 10-12 of a block, to be appended to the frozen contract's encoding."""
    out = b"".join(wire_bytes(10, s) for s in b["siblinghash"])
    for tag, field in ((11, "minersignature"), (12, "historyroot")):
        out += wire_bytes(tag, b[field]) if b[field] is not None else b""
    return out


def hello(chain_id, height, total_work, port, nonce):
    return b"\1" + chain_id + be(height, 8) + be(total_work, 32) + be(port, 2) + be(nonce, 8)


def parse_hello(raw):
    need("length of a Hello", 83, len(raw))
    need("version of a Hello", 1, raw[0])
    return {"chain_id": raw[1:33], "height": number(raw[33:41]), "work": number(raw[41:73]), "port": number(raw[73:75]), "nonce": number(raw[75:])}
