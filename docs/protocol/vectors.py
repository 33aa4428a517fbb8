#!/usr/bin/env python3
"""Test vectors of the protocol, from plain hashlib and a plain Ed25519 package (rules.py beside this file).

vectors.py           writes vectors.json beside this file
vectors.py --check   makes them again, compares with the committed file, exit 1 on a difference

Deterministic: every secret key is the hash of a name and nothing reads a clock. Shapes are explained in README.md.
"""
import hashlib
import json
import pathlib
import sys

from rules import (H, LEAST, ORDER, P, asert, block_sign, commitment, compact_fault, compact_json, content, decode, encode, factor, first_block,
                   genesis, head, header, hkdf, key_fault, lags, mine, path, plain, point, proto, public, seed, segment_body, segment_data, sign,
                   transaction, u8, u16, u32, u64, u256, work, xchacha20poly1305)

# --- the groups of vectors.json

EMR = genesis("two members", members=("alpha", "beta"))
PHD = genesis("three members", kind=2, members=("alpha", "beta", "gamma"))
OPEN = genesis("open, for development")
CHAINS = [EMR, PHD, OPEN, genesis("Zürich · 東京", members=("alpha", "Spital Zürich"), t_ms=5000, half_life_ms=720_000, first_target=0x1E7FFFFF, w=16, l=8),
          genesis("limits", kind=2, nonce=bytes(32), time_ms=2**53 - 1, t_ms=2**32 - 1, first_target=LEAST, most_target=LEAST,
                  half_life_ms=2**53 - 1, m=4000, max_bytes=8_388_608, w=255, l=255)]
NOW = 1_750_000_123_456
ALICE, DOCTOR, DEVICE = seed("alice"), seed("doctor"), seed("device")


def genesis_invalid():
    wrong = dict(kind=3, t_ms=0, half_life_ms=0, first_target=0x2000_7FFF, most_target=0x21008000, m=0, max_bytes=65_535, l=1, spacing=2,
                 quorum=0, time_ms=2**53)
    cases = [(f"{k} {v}", genesis("two members", members=("alpha", "beta"), **{k: v})["bytes"]) for k, v in wrong.items()]
    cases += [("half_life_ms 2^53", genesis("g", half_life_ms=2**53)["bytes"]), ("m 4001", genesis("g", m=4001)["bytes"]),
              ("max_bytes 8388609", genesis("g", max_bytes=8_388_609)["bytes"]), ("open with quorum", genesis("g", quorum=1)["bytes"]),
              ("first above most", genesis("g", first_target=0x207FFFFF, most_target=0x2000FFFF)["bytes"]),
              ("empty name", genesis("")["bytes"]), ("name of 256 bytes", genesis("n" * 256)["bytes"]),
              ("control character in the name", genesis("a\nb")["bytes"]), ("quorum above n", genesis("g", members=("alpha",), quorum=2)["bytes"]),
              ("trailing byte", EMR["bytes"] + b"\0"), ("truncated", EMR["bytes"][:-1]), ("empty", b""), ("version 2", b"\2" + EMR["bytes"][1:]),
              ("name not UTF-8", EMR["bytes"].replace(b"two members", b"tw\xff members"))]
    ends = EMR["bytes"].index(EMR["members"][0]["key"])
    one, two = (e["key"] + u16(len(e["name"])) + e["name"].encode() for e in EMR["members"])
    cases += [("members not ascending", EMR["bytes"][:ends] + two + one), ("member twice", EMR["bytes"][:ends] + one + one),
              ("two members of one name", EMR["bytes"].replace(b"\0\4beta", b"\0\5alpha")),
              ("member key of small order", EMR["bytes"].replace(EMR["members"][0]["key"], u8(1) + bytes(31)))]
    return [{"reason": why, "bytes": raw} for why, raw in cases]


def keys():
    good = [public(seed(n)) for n in ("alpha", "beta", "alice")]
    little = lambda n: n.to_bytes(32, "little")
    order8 = [bytes.fromhex(h) for h in ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")]
    odd = 1 << 255
    small = [little(1), little(P - 1), little(0), little(odd)] + order8 + [k[:31] + u8(k[31] | 128) for k in order8]
    shape = [little(1 | odd), little(P - 1 | odd), little(P), little(P + 1), little(P + 3), little(2**255 - 1), little(2**256 - 1), little(2), little(7)]
    return [{"key": k, "fault": key_fault(k)} for k in good + small + shape]


def zip215():
    """Signatures on which plain libraries differ; `valid` is the answer of ZIP-215."""
    secret, message = seed("alice"), b"message"
    h = hashlib.sha512(secret).digest()
    a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    s_of = lambda r: (int.from_bytes(hashlib.sha512(r + public(secret) + message).digest(), "little") * a % ORDER).to_bytes(32, "little")
    plain_signature = sign(secret, message)
    s = int.from_bytes(plain_signature[32:], "little")
    rows = [("plain", plain_signature, True), ("S not below the order", plain_signature[:32] + (s + ORDER).to_bytes(32, "little"), False)]
    for name, r in (("R of order 4", bytes(32)), ("R the identity, not canonical", (P + 1).to_bytes(32, "little")), ("R not a point", u8(2) + bytes(31))):
        rows.append((name, r + s_of(r), point(r) is not None))
    rows.append(("other message's R", sign(secret, b"other")[:32] + plain_signature[32:], False))
    return [{"name": n, "key": public(secret), "message": message, "signature": v, "valid": ok} for n, v, ok in rows]


READING = b"2026-01-01T00:00:00.000Z,72.50\n"


def segment(chain_id, device, first_seq, count, salt, data):
    return H(b"blockhie/segment/v1\0" + chain_id + device + u64(first_seq) + u32(count) + salt + u64(len(data)) + data)


def device_signature(owner, device, chain_id=PHD["chain_id"]):
    return sign(device, b"blockhie/device/v1\0" + chain_id + public(owner) + public(device))


def link(chain_id, link_seed, record, device):
    salt = H(b"blockhie/link-salt/v1\0" + link_seed + chain_id)
    return H(b"blockhie/link/v1\0" + chain_id + salt + record + device)


RECORD = commitment(EMR["chain_id"], public(DOCTOR), public(ALICE), content(seed("salt"), "application/fhir+json", b'{"value":1.50}'))


def transactions():
    c, d, device = EMR["chain_id"], PHD["chain_id"], public(DEVICE)
    tx = lambda name, kind, payload, secret=DOCTOR, chain=c, to=None: transaction(name, chain, secret, NOW, kind, payload, to)
    record = tx("RECORD", 1, proto((1, RECORD)))
    grant = tx("GRANT, addressed", 4, proto((1, seed("consent")), (2, NOW + 86_400_000)), to=public(ALICE))
    digest = segment(d, device, 0, 60, seed("segment salt"), READING)
    rows = [record, tx("AMEND", 2, proto((1, seed("new commitment")), (2, RECORD))), tx("RETRACT", 3, proto((1, RECORD), (2, 1))), grant,
            tx("GRANT, no expiry", 4, proto((1, seed("consent 2")))), tx("REVOKE", 5, proto((1, grant["txhash"]))),
            tx("ACCESS", 6, proto((1, seed("log root")), (2, 3), (3, NOW - 1000), (4, NOW))), tx("RECORDS", 7, proto((1, seed("batch root")), (2, 1 << 20))),
            tx("DEVICE", 16, proto((1, device), (2, device_signature(ALICE, DEVICE))), ALICE, d),
            tx("READINGS, inline", 17, proto((2, 60), (3, digest), (4, bytes(range(72)))), DEVICE, d),
            tx("READINGS, blob", 17, proto((1, 2**64 - 61), (2, 60), (3, digest), (5, seed("blob")), (6, 4096)), DEVICE, d),
            tx("RETIRE", 18, proto((1, device)), ALICE, d), tx("LINK", 32, proto((1, link(c, seed("link"), RECORD, device))), seed("one-time")),
            tx("ANCHOR", 33, proto((1, d), (2, 77), (3, seed("tip")), (4, u256(123_456_789))), seed("alpha"))]
    return rows


def transactions_invalid():
    """Stateless faults; `genesis` is the index in chain_id of the chain that the transaction is judged on."""
    record, big, p = proto((1, RECORD)), 2**64 - 1, lambda *f: proto(*f)
    digest, sealed, blob = seed("digest"), bytes(72), seed("blob")
    readings = lambda **k: proto((1, k.get("first", 0)), (2, k.get("count", 1)), (3, k.get("content", digest)), (4, k.get("sealed", b"")), (5, k.get("blob", b"")), (6, k.get("size", 0)))
    e, d = 0, 1
    cases = [("RECORD with txto", e, 1, record, DOCTOR, public(ALICE)), ("AMEND with txto", e, 2, p((1, digest), (2, RECORD)), DOCTOR, public(ALICE)),
             ("LINK with txto", e, 32, record, DOCTOR, public(ALICE)), ("GRANT to a key of small order", e, 4, record, DOCTOR, u8(1) + bytes(31)),
             ("commitment of 31 bytes", e, 1, p((1, RECORD[:31])), DOCTOR, None), ("no commitment", e, 1, b"", DOCTOR, None),
             ("field of the default written", e, 6, p((1, digest)) + b"\x10\0", DOCTOR, None), ("field twice", e, 1, record + record, DOCTOR, None),
             ("unknown field", e, 1, record + p((2, 1)), DOCTOR, None), ("fields in descending order", e, 2, p((2, RECORD)) + p((1, digest)), DOCTOR, None),
             ("varint longer than needed", e, 7, p((1, digest)) + b"\x10\x81\0", DOCTOR, None), ("truncated", e, 1, record[:-1], DOCTOR, None),
             ("trailing byte", e, 1, record + b"\0", DOCTOR, None), ("RETRACT without reason", e, 3, record, DOCTOR, None),
             ("RETRACT reason 5", e, 3, p((1, RECORD), (2, 5)), DOCTOR, None), ("RECORDS count 0", e, 7, p((1, digest)), DOCTOR, None),
             ("RECORDS count 2^20+1", e, 7, p((1, digest), (2, (1 << 20) + 1)), DOCTOR, None), ("type 0", e, 0, record, DOCTOR, None),
             ("type 8", e, 8, record, DOCTOR, None), ("type of the other kind", e, 18, record, DOCTOR, None), ("RECORD on a PHD-Chain", d, 1, record, DOCTOR, None),
             ("READINGS count 0", d, 17, readings(count=0, sealed=sealed), DEVICE, None), ("READINGS neither sealed nor blob", d, 17, readings(), DEVICE, None),
             ("READINGS both", d, 17, readings(sealed=sealed, blob=blob, size=72), DEVICE, None), ("READINGS sealed of 71", d, 17, readings(sealed=sealed[1:]), DEVICE, None),
             ("READINGS sealed with sealed_len", d, 17, readings(sealed=sealed, size=72), DEVICE, None), ("READINGS blob without sealed_len", d, 17, readings(blob=blob), DEVICE, None),
             ("READINGS blob of 33 bytes", d, 17, readings(blob=blob + b"\0", size=1), DEVICE, None), ("READINGS range past 2^64-1", d, 17, readings(first=big, sealed=sealed), DEVICE, None),
             ("READINGS count past 32 bits", d, 17, readings(count=1 << 32, sealed=sealed), DEVICE, None),
             ("DEVICE signed for another owner", d, 16, p((1, public(DEVICE)), (2, device_signature(DOCTOR, DEVICE))), ALICE, None),
             ("DEVICE signed for another chain", d, 16, p((1, public(DEVICE)), (2, device_signature(ALICE, DEVICE, EMR["chain_id"]))), ALICE, None),
             ("ANCHOR by no member", e, 33, p((1, PHD["chain_id"]), (2, 77), (3, digest), (4, u256(5))), DOCTOR, None),
             ("ANCHOR work of 31 bytes", e, 33, p((1, PHD["chain_id"]), (2, 77), (3, digest), (4, u256(5)[1:])), seed("alpha"), None),
             ("body of 65,537 bytes", d, 17, readings(sealed=bytes(65_537 - 65 - 40)), DEVICE, None)]
    rows = [{"genesis": g} | transaction(why, CHAINS[g]["chain_id"], secret, NOW, kind, payload, to) for why, g, kind, payload, secret, to in cases]
    assert len(rows[-1]["body"]) == 65_537
    good = transaction("", EMR["chain_id"], DOCTOR, NOW, 1, record)

    def altered(why, **over):
        t = good | over
        canonical = u64(t["time_ms"]) + u32(t["type"]) + t["from"] + b"\0" + u32(len(t["body"])) + t["body"]
        rows.append({"genesis": e} | t | {"name": why, "canonical": canonical, "txhash": H(b"blockhie/tx/v1\0" + t["chain_id"] + canonical)})

    altered("signature over another time", time_ms=NOW + 1)
    altered("signature by another key", **{"from": public(ALICE)})
    altered("body tag 2", body=b"\2" + good["body"][1:])
    altered("body of 64 bytes", body=good["body"][:64])
    altered("empty body", body=b"")
    altered("S not below the order", body=good["body"][:33] + (int.from_bytes(good["body"][33:65], "little") + ORDER).to_bytes(32, "little") + good["body"][65:])
    altered("txfrom of small order, signature that fits all messages", body=b"\1" + u8(1) + bytes(63) + record, **{"from": u8(1) + bytes(31)})
    return [{k: r[k] for k in ("name", "genesis", "time_ms", "type", "from", "to", "body", "txhash")} for r in rows]


def merkle():
    leaf = [H(u8(i)) for i in range(17)]
    return {"leaves": leaf, "heads": [head(leaf[:n]) for n in range(18)],
            "paths": [{"size": n, "index": i, "path": path(i, leaf[:n])} for n in (1, 2, 3, 5, 6, 7, 8, 13, 16, 17) for i in range(n)]}


def headers():
    txs, old = [H(b"tx" + u8(i)) for i in range(3)], [H(b"old" + u8(i)) for i in range(5)]
    c, p = EMR["chain_id"], PHD["chain_id"]
    rows = [header(c, old[4], txs, old, public(seed("alpha")), 5, NOW, 0x1F00ABCD, 0x0123456789ABCDEF, [H(b"sibling")]),
            header(c, old[4], [], old, public(seed("beta")), 5, NOW + 1, 0x03008000, 2**64 - 1),
            header(p, old[0], txs[:1], old[:1], public(seed("gamma")), 1, NOW, 0x207FFFFF)]
    rows = [block_sign(b, seed(who)) for b, who in zip(rows, ("alpha", "beta", "gamma"))]
    return [dict(first_block(g), miner=bytes(32)) for g in CHAINS] + rows


def compact():
    valid = [LEAST, 0x0300FFFF, 0x03010000, 0x037FFFFF, 0x04008000, 0x047FFFFF, 0x1B0404CB, 0x1D00FFFF, 0x1E7FFFFF, 0x1F00ABCD, 0x2000FFFF, 0x20008000, 0x207FFFFF]
    targets = [0x8000, 0x8001, 0x7FFFFF, 0x800000, 0x800001, 0x8000FF, 0x1234567, 0xFFFFFFFF, 2**224 - 1, 2**224, 2**255 - 1, 2**255 - 2**232, 3**150, 7**85]
    bad = [0, 1, 0xFFFFFFFF, 0x02008000, 0x01010000, 0x0200FFFF, 0x21008000, 0x20800000, 0x20FFFFFF, 0x20007FFF, 0x1D000001, 0x03000000, 0x03007FFF, 0x03800000, 0x00800000]
    return {"decode": [{"compact": c, "target": u256(decode(c)), "work": u256(work(c))} for c in valid],
            "encode": [{"target": u256(t), "compact": encode(t), "decoded": u256(decode(encode(t)))} for t in targets],
            "invalid": [{"compact": c, "reason": compact_fault(c)} for c in bad],
            "not_encodable": [u256(t) for t in (0, 1, 0x7FFF, 2**255, 2**256 - 1)],
            "chain_work": [{"targets": t, "work": u256(sum(map(work, t)))} for t in ([], [0x207FFFFF], valid, [LEAST] * 3)]}


# Lines (height, time, bits) of the published aserti3-2d runs 2, 5, 7, 9, 10; anchors (height, parent's time, bits). Clock in seconds.
PUBLISHED = [((1, 0, 0x1A2B3C4D), [(2, 1200, 0x1A2B3C4D), (11, 6600, 0x1A2B3C4D)]),
             ((1, 0, 0x1D00FFFF), [(2, 0, 0x1D00FEC5), (290, 0, 0x1C7F62C0), (578, 0, 0x1C3FB160), (2306, 0, 0x1C00FEC5), (13538, 0, 0x1701FD8B),
                                   (31106, 0, 0x0F0FEC58), (59330, 0, 0x0303FB16), (59906, 0, 0x0300FEC5)]),
             ((1, 0, 0x1802AEE8), [(2, 1200, 0x1802AEE8), (3, 1310, 0x1802AD91), (9, 7099, 0x1802B39C), (10, 7099, 0x1802B1F2), (22, 12701, 0x1802AD89),
                                   (100, 20363, 0x180249FB), (197, 24190, 0x1801D712), (300, 26847, 0x180173A8), (459, 29064, 0x1800FFB4), (638, 31020, 0x1800A788)]),
             ((2147483642, 1234567290, 0x1802AEE8), [(2147483643, 1234568190, 0x1802AE16), (2147483647, 1234569390, 0x1802AACD), (2147483652, 1234570890, 0x1802A6B7)]),
             ((9223372036854775802, 2147483047, 0x1802AEE8), [(9223372036854775803, 2147484547, 0x1802AFBB), (9223372036854775807, 2147488147, 0x1802B30E),
                                                              (9223372036854775812, 2147492647, 0x1802B73D)])]


def published():
    rows = []
    for (height, parent_time, bits), lines in PUBLISHED:
        for h, t, want in lines:
            lag = t - parent_time - 600 * (h - height + 1)
            assert encode(asert(lag, 172_800, bits, 0x1D00FFFF)[3]) == want, (h, hex(want))
            rows.append({"lag": lag, "half_life": 172_800, "first": bits, "most": 0x1D00FFFF, "target": want})
    return rows


def functions():
    rows = []
    for half_life, first, most in ((144_000, 0x2000FFFF, 0x207FFFFF), (720_000, 0x1E7FFFFF, 0x1F7FFFFF), (1, 0x1D00FFFF, 0x207FFFFF), (2**53 - 1, 0x207FFFFF, 0x207FFFFF), (7, LEAST, LEAST)):
        edge = [k * half_life // 65536 for k in (1, 2, 65535, 65536, 65537, 3 * 65536 + 12345)]
        for lag in sorted({0, 1, half_life - 1, half_life, half_life + 1, 10 * half_life, 239 * half_life, 240 * half_life, 241 * half_life, 300 * half_life, *edge}):
            for signed in {lag, -lag}:
                x, n, f, target = asert(signed, half_life, first, most)
                rows.append({"lag": signed, "half_life": half_life, "first": first, "most": most, "x": x, "n": n, "f": f, "target": encode(target)})
    return sorted(rows, key=lambda r: (r["half_life"], r["lag"]))


def schedules():
    """λ and the target that a child of each block must have, along times that start at genesis."""
    def run(name, gaps, T=1000, half_life=144_000, first=0x2000FFFF, most=0x207FFFFF):
        times = [NOW]
        for gap in gaps:
            times.append(times[-1] + gap)
        lag = lags(times, T, half_life, first, most)
        return {"name": name, "t_ms": T, "half_life_ms": half_life, "first_target": first, "most_target": most, "times_ms": times, "lag_ms": lag,
                "child_target": [encode(asert(v, half_life, first, most)[3]) for v in lag]}

    noise = [1 + int.from_bytes(H(b"gap" + u8(i))[:2], "big") % 2500 for i in range(100)]
    return [run("on time", [1000] * 5), run("random gaps", noise), run("as fast as allowed", [1] * 100),
            run("an hour's stop, then fast", [1000] * 3 + [3_600_000] + [250] * 40), run("two stops, the lag is bounded", [10**9, 10**9, 10**9, 1, 1, 1000] + [10] * 60),
            run("stop just below, at and above 288 T", [287_999, 1, 288_000, 1, 288_001, 1]),
            run("down to the least target", [1] * 30 + [300_000] * 6, half_life=1000 * 10, first=0x0400FFFF, most=0x1D00FFFF),
            run("n below -241", [1] * 12 + [10_000_000] * 3, T=30_000, half_life=1000, first=0x1D00FFFF, most=0x1E00FFFF),
            run("half-life of 1 ms", [1, 1000, 1001, 999, 2, 3000], half_life=1), run("first is most", [1000, 5000, 1, 1, 1, 9000], first=0x207FFFFF),
            run("T 5 s", [7777] * 20 + [100] * 20, T=5000, half_life=720_000, first=0x1E7FFFFF), run("largest T and half-life", [1, 2**40, 1, 2**40], T=2**32 - 1, half_life=2**53 - 1)]


def commitments():
    rows = []
    for name, media, data, to in (("decimal kept", "application/fhir+json", b'{"value":1.50}', ALICE), ("no addressee", "application/fhir+json", b'{"value":1.50}', None),
                                  ("one zero less", "application/fhir+json", b'{"value":1.5}', None), ("empty", "application/octet-stream", b"", None),
                                  ("one letter of media type", "x", bytes(range(256)), ALICE)):
        salt, to = seed("salt " + name), to and public(to)
        digest = content(salt, media, data)
        rows.append({"name": name, "chain_id": EMR["chain_id"], "issuer": public(DOCTOR), "addressee": to, "salt": salt, "media_type": media, "bytes": data,
                     "content": digest, "commitment": commitment(EMR["chain_id"], public(DOCTOR), to, digest)})
    leaves = [r["commitment"] for r in rows]
    batch = {"commitments": leaves, "root": head(leaves), "count": len(leaves), "paths": [path(i, leaves) for i in range(len(leaves))]}
    salt = seed("segment salt")
    return {"record": rows, "batch": batch,
            "segment": [{"chain_id": PHD["chain_id"], "device": public(DEVICE), "first_seq": s, "count": n, "salt": salt, "bytes": d,
                         "content": segment(PHD["chain_id"], public(DEVICE), s, n, salt, d)} for s, n, d in ((0, 1, READING), (2**64 - 3, 2, b""))],
            "issuer_certificate": {"chain_id": EMR["chain_id"], "member_secret": seed("alpha"), "issuer": public(DOCTOR), "from_ms": 1000, "to_ms": 2**53 - 1,
                                   "signature": sign(seed("alpha"), b"blockhie/issuer/v1\0" + EMR["chain_id"] + public(DOCTOR) + u64(1000) + u64(2**53 - 1))},
            "link": [{"chain_id": g["chain_id"], "seed": seed("link"), "record": RECORD, "device": public(DEVICE),
                      "commitment": link(g["chain_id"], seed("link"), RECORD, public(DEVICE))} for g in (EMR, PHD)]}


def segment_contents():
    """Samples and their data. The numbers are texts, because their digits count."""
    base = {"code": "8867-4", "unit": "/min", "start_ms": NOW, "skipped": 0, "header": None, "crlf": False, "final_newline": True, "clock": None, "rate": "100",
            "offsets": None, "values": ["515", "514", "-3", "0"]}
    rows = [base, base | {"rate": "0.50", "skipped": 2**20, "values": ["8.50", "8.5", "8", "-0.000000000000000001", "9223372036854775807", "-9223372036854775808"]},
            base | {"unit": "", "rate": None, "header": "timer,hr", "crlf": True, "offsets": ["0.0", "8.54790319355", "17.0958063871", "17.0958063871", "128210.0"],
                    "values": ["515", "514", "514", "516", "496"]},
            base | {"rate": None, "clock": 6 | 64, "offsets": ["0.000", "8.547", "919.000"], "values": ["514", "5.0", "513"]},
            base | {"header": "\u00b5V", "final_newline": False, "start_ms": 0, "values": ["7"] * 300}]
    return [row | {"body": (body := segment_body(**row)), "data": segment_data(body)} for row in rows]


def segment_seals():
    """Key, salt and nonce are derived, so a seal is a function of the device's secret, the place and the data."""
    rows = []
    for first_seq, count, data in ((0, 60, READING), (2**64 - 3, 2, b""), (5, 4, segment_contents()[0]["data"])):
        place = PHD["chain_id"] + public(DEVICE) + u64(first_seq) + u32(count)
        key = hkdf(DEVICE, b"blockhie/segment-key/v1\0" + place, 32)
        salt = hkdf(DEVICE, b"blockhie/segment-salt/v1\0" + place + H(data), 32)
        digest = segment(PHD["chain_id"], public(DEVICE), first_seq, count, salt, data)
        nonce = hkdf(key, b"blockhie/segment-nonce/v1\0" + digest, 24)
        opening = {"format": "blockhie-segment-opening/v1", "chain_id": PHD["chain_id"], "device": public(DEVICE), "first_seq": u64(first_seq),
                   "count": count, "salt": salt, "length": len(data)}
        rows.append({"device_secret": DEVICE, "chain_id": PHD["chain_id"], "device": public(DEVICE), "first_seq": first_seq, "count": count, "bytes": data,
                     "key": key, "salt": salt, "content": digest, "nonce": nonce, "sealed": nonce + xchacha20poly1305(key, nonce, salt + data, place),
                     "opening": compact_json(opening)})
    return rows


def link_terms(link_seed, record, device, audience, expiry_ms, emr=EMR["chain_id"], phd=PHD["chain_id"]):
    return b"blockhie/link-open/v1\0" + emr + phd + link_seed + record + device + audience + u64(expiry_ms)


def whole_chain(g, txs, who):
    """All transactions in block 1, then empty blocks, the members in turn; a receipt of each transaction from block 1 on."""
    blocks = [first_block(g)]
    for at, name in enumerate(who):
        blocks.append(mine(g, blocks, name, blocks[-1]["time_ms"] + 900 + at, [t["txhash"] for t in txs] if at == 0 else []))
    signed = [{"header": b["preimage"], "signature": b["signature"]} for b in blocks]
    return [compact_json({"format": "blockhie-receipt/v1", "transaction": t["canonical"], "index": i, "path": path(i, [t["txhash"] for t in txs]), "sibling": None,
                          "block": signed[1], "history": [], "run": signed[2:]}) for i, t in enumerate(txs)]


def links():
    """Two links with their receipts, and what `link verify` must answer. One record has an addressee; the other none, and stands in a batch."""
    c, d, device, owner = EMR["chain_id"], PHD["chain_id"], public(DEVICE), seed("owner of the device")
    audience, other, expiry = public(seed("audience")), public(seed("other audience")), NOW + 86_400_000
    digests = [content(seed(f"link salt {i}"), "application/fhir+json", b'{"value":1.50}') for i in range(4)]
    names = [commitment(c, public(DOCTOR), public(ALICE) if i == 0 else None, x) for i, x in enumerate(digests)]
    seeds = [seed("link of the addressed record"), seed("link of the batched record")]
    linked = [names[0], names[2]]
    half = lambda chain, i: transaction("LINK", chain, seed(f"one-time {chain[0]} {i}"), NOW + 1000 * i, 32, proto((1, link(chain, seeds[i], linked[i], device))))
    emr = [transaction("RECORD", c, DOCTOR, NOW, 1, proto((1, names[0]))), transaction("RECORDS", c, DOCTOR, NOW, 7, proto((1, head(names[1:])), (2, 3))), half(c, 0), half(c, 1)]
    phd = [transaction("DEVICE", d, owner, NOW, 16, proto((1, device), (2, device_signature(owner, DEVICE)))), half(d, 0), half(d, 1),
           transaction("DEVICE", d, ALICE, NOW, 16, proto((1, public(ALICE)), (2, device_signature(ALICE, ALICE))))]
    receipts = dict(zip(("RECORD", "RECORDS", "link-emr 0", "link-emr 1"), whole_chain(EMR, emr, ("alpha", "beta", "alpha"))))
    receipts |= dict(zip(("DEVICE", "link-phd 0", "link-phd 1", "other DEVICE"), whole_chain(PHD, phd, ("alpha", "beta", "gamma"))))

    def opening(i, holder, **over):
        terms = link_terms(seeds[i], linked[i], device, audience, expiry)
        return {"format": "blockhie-link-opening/v1", "emr": c, "phd": d, "seed": seeds[i], "issuer": public(DOCTOR), "addressee": public(ALICE) if i == 0 else "",
                "content": digests[2 * i], "batch": {"index": 1, "path": path(1, names[1:])} if i else None, "device": device, "audience": audience,
                "expiry_ms": expiry, "owner_signature": sign(owner, terms), "holder_signature": sign(holder, terms)} | over

    text = lambda i, holder, **over: compact_json(opening(i, holder, **over))
    good, batched = text(0, ALICE), text(1, DOCTOR)
    stranger = sign(seed("stranger"), link_terms(seeds[0], linked[0], device, audience, expiry))
    openings = {"addressed": good, "batched": batched, "white space": good.replace(",", ", ", 1), "no newline": good[:-1], "chains swapped": text(0, ALICE, emr=d, phd=c),
                "one chain twice": text(0, ALICE, phd=c), "other seed": text(0, ALICE, seed=seeds[1]), "other issuer": text(0, ALICE, issuer=public(ALICE)),
                "no addressee": text(0, ALICE, addressee=""), "other content": text(0, ALICE, content=digests[1]), "no path": text(1, DOCTOR, batch=None),
                "other place": text(1, DOCTOR, batch={"index": 0, "path": path(1, names[1:])}), "other device": text(0, ALICE, device=public(ALICE)),
                "later expiry": text(0, ALICE, expiry_ms=expiry + 1), "owner signature of a stranger": text(0, ALICE, owner_signature=stranger),
                "holder signature of the issuer": text(0, DOCTOR), "holder signature of the owner": text(0, owner), "audience no key": text(0, ALICE, audience=u8(2) + bytes(31))}
    sets = [["RECORD", "DEVICE", "link-emr 0", "link-phd 0"], ["RECORDS", "DEVICE", "link-emr 1", "link-phd 1"]]
    case = lambda name, step, of=0, to=audience, now=NOW, receipts=None: {"opening": name, "receipts": receipts or sets[of], "audience": to, "now_ms": now, "failed": step,
                                                                        "exit": 3 if step == "form" else 1 if step else 0}
    swap = lambda at, name: [name if i == at else x for i, x in enumerate(sets[0])]
    cases = [case("addressed", None), case("addressed", None, to=None), case("addressed", None, now=expiry), case("batched", None, 1),
             case("addressed", "expiry", now=expiry + 1), case("addressed", "audience", to=other), case("white space", "form"), case("no newline", "form"),
             case("chains swapped", "chains"), case("one chain twice", "chains"), case("other seed", "link-emr"), case("other issuer", "record"), case("no addressee", "record"),
             case("other content", "record"), case("no path", "record", 1), case("other place", "record", 1), case("other device", "device"),
             case("later expiry", "owner signature"), case("owner signature of a stranger", "owner signature"), case("holder signature of the issuer", "holder signature"),
             case("holder signature of the owner", "holder signature"), case("audience no key", "audience", to=None),
             case("addressed", "record", receipts=swap(0, "link-emr 0")), case("addressed", "record", receipts=swap(0, "RECORDS")), case("addressed", "device", receipts=swap(1, "link-phd 0")),
             case("addressed", "device", receipts=swap(1, "other DEVICE")), case("addressed", "link-emr", receipts=swap(2, "link-emr 1")),
             case("addressed", "link-emr", receipts=swap(2, "RECORD")), case("addressed", "link-phd", receipts=swap(3, "link-phd 1")),
             case("addressed", "link-phd", receipts=swap(3, "DEVICE")), case("addressed", "chains", receipts=swap(2, "link-phd 0")), case("addressed", "chains", receipts=swap(3, "link-emr 0"))]
    terms = [{"emr": c, "phd": d, "seed": s, "record": r, "device": device, "audience": audience, "expiry_ms": expiry, "signing_bytes": link_terms(s, r, device, audience, expiry),
              "owner_secret": owner, "owner_signature": sign(owner, link_terms(s, r, device, audience, expiry)), "id": H(b"blockhie/link-id/v1\0" + s)} for s, r in zip(seeds, linked)]
    return {"terms": terms, "receipts": receipts, "openings": openings, "cases": cases}


def hello():
    rows = [(EMR["chain_id"], 0, 0, 0, 0), (EMR["chain_id"], 1234, 123_456_789, 50051, 0x0123456789ABCDEF), (PHD["chain_id"], 2**64 - 1, 2**256 - 1, 65535, 2**64 - 1)]
    return [{"chain_id": c, "height": h, "work": u256(w), "port": p, "nonce": n, "bytes": u8(1) + c + u64(h) + u256(w) + u16(p) + u64(n)} for c, h, w, p, n in rows]


def chain():
    """A mined chain of two members with receipts; wire fields of every block, and what `verify` must answer."""
    data, media = b'{"resourceType":"Observation","valueQuantity":{"value":1.50}}', "application/fhir+json"
    c, leaves = EMR["chain_id"], [seed("earlier"), seed("later")]
    digest = content(seed("receipt salt"), media, data)
    name = commitment(c, public(DOCTOR), public(ALICE), digest)
    txs = [transaction("RECORD", c, DOCTOR, NOW, 1, proto((1, name)))] + [transaction("filler", c, DOCTOR, NOW, 1, proto((1, x))) for x in leaves]
    blocks = [first_block(EMR)]
    for who, gap, own in (("alpha", 700, txs), ("beta", 400, []), ("alpha", 90, []), ("beta", 2000, [])):
        blocks.append(mine(EMR, blocks, who, blocks[-1]["time_ms"] + gap, [t["txhash"] for t in own]))
    signed = lambda b: {"header": b["preimage"], "signature": b["signature"]}
    hashes = [b["blockhash"] for b in blocks]

    def receipt(of, run, anchored=False):
        return {"format": "blockhie-receipt/v1", "transaction": txs[of]["canonical"], "index": of, "path": path(of, [t["txhash"] for t in txs]), "sibling": None,
                "block": signed(blocks[1]), "history": path(1, hashes[:run[0]]) if anchored else [], "run": [signed(blocks[h]) for h in run]}

    opening = {"format": "blockhie-opening/v1", "chain_id": c, "issuer": public(DOCTOR), "addressee": public(ALICE), "salt": seed("receipt salt"),
               "media_type": media, "length": len(data), "batch": None, "certificate": None}
    full, short, anchored = receipt(0, [2, 3]), receipt(0, []), receipt(0, [4], True)
    both = receipt(0, [3, 4], True)
    texts = {"full": compact_json(full), "block only": compact_json(short), "anchored": compact_json(anchored), "anchored, two members": compact_json(both),
             "second transaction": compact_json(receipt(1, [2])), "last transaction": compact_json(receipt(2, [2])),
             "white space": compact_json(full).replace(",", ", ", 1), "no newline": compact_json(full)[:-1], "upper case": compact_json(full).replace(full["transaction"].hex(), full["transaction"].hex().upper()),
             "key order": compact_json(dict(reversed(full.items()))), "wrong index": compact_json(full | {"index": 1}), "gap in the run": compact_json(receipt(0, [3])),
             "wrong history": compact_json(both | {"history": [H(b"")] + both["history"][1:]}),
             "wrong signature": compact_json(full | {"run": [full["run"][0] | {"signature": full["run"][1]["signature"]}]}),
             "changed transaction": compact_json(full | {"transaction": full["transaction"][:-1] + u8(full["transaction"][-1] ^ 1)})}
    Q, K = "no genesis", None  # only a checkpoint; no checkpoint

    def case(text, quorum, checkpoint, code):
        with_genesis = quorum != Q
        return {"receipt": text, "genesis": with_genesis, "quorum": quorum if with_genesis else None, "checkpoint": checkpoint, "exit": code}

    cases = [case("full", 1, K, 0), case("full", 2, K, 0), case("full", None, K, 0), case("block only", 1, K, 0), case("block only", 2, K, 2), case("anchored", 1, K, 0),
             case("anchored", 2, K, 2), case("anchored, two members", 2, K, 0), case("second transaction", 2, K, 0), case("last transaction", 2, K, 0),
             case("white space", 1, K, 3), case("no newline", 1, K, 3), case("upper case", 1, K, 3), case("key order", 1, K, 3), case("wrong index", 1, K, 1),
             case("gap in the run", 1, K, 1), case("wrong history", 1, K, 1), case("wrong signature", 1, K, 1), case("changed transaction", 1, K, 1),
             case("full", Q, hashes[3], 0), case("full", Q, hashes[1], 0), case("full", Q, hashes[4], 2), case("full", 2, hashes[2], 0), case("block only", 2, hashes[1], 2)]
    wire = [{"height": b["height"], "unixtime": u64(b["time_ms"]), "previoushash": b["previous"], "blockhash": b["blockhash"], "difficulty": u32(b["target"]),
             "answer": u64(b["nonce"]), "txshash": b["txhashes"], "miner": b["miner"], "number": b["tx_count"], "minersignature": b["signature"],
             "historyroot": b["history_root"], "preimage": b["preimage"], "tx_root": b["tx_root"], "chain_work": u256(sum(work(x["target"]) for x in blocks[1:h + 1]))}
            for h, b in enumerate(blocks)]
    return {"genesis": EMR["bytes"], "chain_id": c, "transactions": txs, "blocks": wire, "history_roots": [head(hashes[:h]) for h in range(6)],
            "record": data, "opening": compact_json(opening), "commitment": name, "receipts": texts, "cases": cases}


def document():
    return {"about": "made by vectors.py; every bytes value is lowercase hex", "chain_id": CHAINS, "genesis_invalid": genesis_invalid(), "keys": keys(), "zip215": zip215(),
            "transactions": transactions(), "transactions_invalid": transactions_invalid(), "merkle": merkle(), "headers": headers(), "compact": compact(),
            "asert": {"factor": [{"f": f, "factor": factor(f)} for f in (0, 1, 2, 255, 256, 21845, 32767, 32768, 32769, 49152, 65534, 65535)], "function": functions(),
                      "published": published(), "rule": schedules()},
            "commitment": commitments(), "link": links(), "segment_data": segment_contents(), "segment_seal": segment_seals(), "hello": hello(), "chain": chain()}


def main():
    file = pathlib.Path(__file__).with_name("vectors.json")
    text = json.dumps(plain(document()), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--check"]:
        same = file.exists() and file.read_text(encoding="utf-8") == text
        print("vectors.json is as made" if same else "vectors.json differs from what vectors.py makes")
        return 0 if same else 1
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 64
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
