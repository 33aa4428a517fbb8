"""What interop.py sends that a node must refuse, and with which status. Every check is a call of its own; none changes the node,
except the good block at the end of `with_member`.
"""
import os
import time

from interop_rules import SMALL_ORDER, H, be, child_target, hello, make_transaction, need, number, public, record_payload, sign_block, txhash, wire_bytes

INVALID, MISSING, NOT_YET = "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"


def now_ms():
    return time.time_ns() // 1_000_000


def bad_discovery(report, g, node):
    say, ask = "/Discovery/Hello", "/Discovery/ExchangeNode"
    good = hello(g["chain_id"], 0, 0, 0, number(os.urandom(8)))
    refuse = lambda name, method, raw, code, *words: report.check(name, lambda: node.refused(method, raw, code, *words))
    value = lambda v: wire_bytes(1, v)
    refuse("hello without value", say, b"", INVALID)
    for name, v in (("empty", b""), ("82 bytes", good[:-1]), ("84 bytes", good + b"\0")):
        refuse(f"hello of wrong length, {name}", say, value(v), INVALID, "83")
    refuse("hello of version 2", say, value(b"\2" + good[1:]), INVALID)
    refuse("hello of version 0", say, value(b"\0" + good[1:]), INVALID)
    refuse("hello of another chain", say, value(b"\1" + H(b"another") + good[33:]), NOT_YET)
    peer = lambda n, *a: node.pb.Node(number=n, ipport=[x.encode() for x in a]).SerializeToString()
    refuse("nodes, number is not their count", ask, peer(2, "127.0.0.1:1"), INVALID)
    refuse("nodes without number", ask, b"", INVALID)
    refuse("65 nodes", ask, peer(65, *[f"127.0.0.1:{i + 1}" for i in range(65)]), INVALID)
    refuse("node that is no ip:port", ask, peer(1, "nowhere"), INVALID)


def bad_reads(report, g, node):
    block, tx = "/Synchronization/BlockFrom", "/Synchronization/TransactionFrom"
    refuse = lambda name, method, raw, code: report.check(name, lambda: node.refused(method, raw, code))
    value = lambda v: wire_bytes(1, v)
    for size in (1, 5, 7, 9, 31, 33):
        refuse(f"block asked by {size} bytes", block, value(bytes(size)), INVALID)
    refuse("block asked without value", block, b"", INVALID)
    refuse("block of an unknown hash", block, value(H(b"no such block")), MISSING)
    refuse("block of a height not reached", block, value(be((1 << 64) - 1, 8)), MISSING)
    for size in (0, 31, 33):
        refuse(f"transaction asked by {size} bytes", tx, value(bytes(size)), INVALID)
    refuse("transaction asked without value", tx, b"", INVALID)
    refuse("transaction that is unknown", tx, value(H(b"no such transaction")), MISSING)


def bad_transactions(report, g, node, secret):
    method, c = "/Synchronization/TransactionTo", g["chain_id"]
    commitment = H(os.urandom(32))
    payload, now = record_payload(commitment), now_ms()
    good = make_transaction(c, secret, now, 1, payload)
    wire = node.transaction_bytes
    refuse = lambda name, raw, *words: report.check("transaction, " + name, lambda: node.refused(method, raw, INVALID, *words))
    make = lambda kind=1, load=payload, time_ms=now, to=None, chain=c: make_transaction(chain, secret, time_ms, kind, load, to)
    rehash = lambda t: t | {"txhash": txhash(c, t)}
    refuse("empty message", b"")
    for field in ("unixtime", "body", "txhash", "type", "txfrom"):
        refuse(f"{field} absent", wire(good, drop=(field,)))
    for field in ("unixtime", "txhash", "txfrom"):
        for name, value in (("one short", good[field][:-1]), ("one long", good[field] + b"\0"), ("empty", b"")):
            refuse(f"{field} {name}", wire(good | {field: value}), "expected", "got")
    refuse("txto of 31 bytes", wire(good | {"txto": bytes(31)}))
    refuse("txto on a RECORD", wire(make(to=public(secret))))
    refuse("another txhash", wire(good | {"txhash": H(b"x")}), "expected", "got")
    refuse("signature changed", wire(rehash(good | {"body": good["body"][:64] + bytes([good["body"][64] ^ 1]) + good["body"][65:]})))
    refuse("signed for another time", wire(rehash(good | {"unixtime": be(now + 1, 8)})))
    refuse("of another chain", wire(make(chain=H(b"another"))))
    refuse("signed for another chain, hashed for this one", wire(rehash(make(chain=H(b"another")))))
    refuse("txfrom of small order", wire(rehash(good | {"txfrom": SMALL_ORDER, "body": b"\1" + SMALL_ORDER + bytes(32) + payload})))
    refuse("txfrom not canonical", wire(rehash(good | {"txfrom": be((1 << 256) - 1, 32)})))
    for kind in (0, 8, 99, -1, 16, 17, 18) if g["kind"] == 1 else (0, 1, 7, 99, -1):
        refuse(f"type {kind}", wire(make(kind)))
    refuse("body of 65,537 bytes", wire(make(load=payload + bytes(65_537 - 65 - len(payload)))))
    refuse("empty body", wire(rehash(good | {"body": b""})))
    refuse("body of 64 bytes", wire(rehash(good | {"body": good["body"][:64]})))
    refuse("body of tag 2", wire(rehash(good | {"body": b"\2" + good["body"][1:]})))
    for name, load in (("field twice", payload + payload), ("unknown field", payload + b"\x10\1"), ("length in a longer varint", b"\x0a\xa0\0" + commitment), ("truncated", payload[:-1]),
                       ("31 bytes", b"\x0a\x1f" + commitment[:31]), ("empty", b"")):
        refuse(f"payload not canonical, {name}", wire(make(load=load)))
    refuse("time too far ahead", wire(make(time_ms=now + g["ahead_ms"] + 60_000)))
    refuse("time 2^64-1", wire(make(time_ms=(1 << 64) - 1)))
    report.check("none of these is kept", lambda: node.refused("/Synchronization/TransactionFrom", wire_bytes(1, good["txhash"]), MISSING))


def bad_blocks(report, g, node, chain, member_seed, read_chain):
    method, wire, tip, members = "/Synchronization/BlockTo", node.block_bytes, chain.blocks[-1], g["members"]
    refuse = lambda name, raw, code=INVALID: report.check("block, " + name, lambda: node.refused(method, raw, code))
    refuse("empty message", b"")
    for field in ("height", "unixtime", "previoushash", "blockhash", "difficulty", "answer", "miner", "number"):
        refuse(f"{field} absent", wire(tip, drop=(field,)))
    refuse("number is not the count", wire(tip | {"number": tip["number"] + 1}))
    refuse("number negative", wire(tip | {"number": -1}))
    for field in ("unixtime", "previoushash", "blockhash", "difficulty", "answer", "miner"):
        refuse(f"{field} one short", wire(tip | {field: tip[field][:-1]}))
        refuse(f"{field} one long", wire(tip | {field: tip[field] + b"\0"}))
    refuse("txshash of 31 bytes", wire(tip | {"txshash": [bytes(31)], "number": 1}))
    refuse("more than m transactions", wire(tip | {"txshash": [H(be(i, 4)) for i in range(g["m"] + 1)], "number": g["m"] + 1}))
    refuse("more than L siblings", wire(tip | {"siblinghash": [H(be(i, 4)) for i in range(g["l"] + 1)]}))
    refuse("false blockhash", wire(tip | {"blockhash": H(b"x")}))
    refuse("known hash over another time", wire(tip | {"unixtime": be(number(tip["unixtime"]) + 1, 8)}))
    refuse("false historyroot", wire(tip | {"historyroot": H(b"x")}))
    exchange = wire(tip | {"blockhash": H(b"x")})
    report.check("block exchanged, false blockhash", lambda: node.refused("/Synchronization/ExchangeBlock", exchange, INVALID))

    junk, own = os.urandom(64), os.urandom(32)
    time_ms = max(now_ms(), number(tip["unixtime"]) + 1)
    signed = lambda b, secret=own: b and (sign_block(g, b, secret) if members else b)
    easy = be(g["most_target"] if child_target(g, chain.lag) != g["most_target"] else g["most_target"] - 1, 4)
    orphan = chain.child(public(own), time_ms, tries=1 << 22, previoushash=H(b"no parent"))
    made = {"work not enough": chain.child(public(own), time_ms, enough=False), "another target": chain.child(public(own), time_ms, difficulty=easy)}
    for name, b in made.items():
        refuse(name, wire(signed(b))) if b else report.skip("block, " + name, "no nonce found")
    if members:
        refuse("minersignature absent", wire(tip | {"minersignature": None}))
        refuse("minersignature of 63 bytes", wire(tip | {"minersignature": junk[:63]}))
        by_member = chain.child(members[0][0], time_ms)
        refuse("minersignature false", wire(by_member | {"minersignature": junk})) if by_member else report.skip("block, minersignature false", "no nonce found")
        stranger = signed(chain.child(public(own), time_ms))
        refuse("miner not a member", wire(stranger)) if stranger else report.skip("block, miner not a member", "no nonce found")
    else:
        refuse("minersignature on an open chain", wire(tip | {"minersignature": junk}))
    if orphan:
        claim = orphan | {"historyroot": None, "minersignature": junk if members else None}
        refuse("parent unknown", wire(claim), NOT_YET)
        refuse("parent unknown, historyroot given, false hash", wire(claim | {"historyroot": H(b"x")}))
    if members and not member_seed:
        return report.skip("blocks of a member", "no --member-seed")
    miner = member_seed or own
    with_member(report, g, node, chain, miner, read_chain, refuse, lambda b: wire(sign_block(g, b, miner) if members else b))


def with_member(report, g, node, chain, miner, read_chain, refuse, wire):
    """Blocks that only someone who may mine can make; the last one is good."""
    key = public(miner)

    def child(time_ms=None, skip=0, **over):
        # What depends on the chain is worked out after it was read anew: the node mines while this runs.
        read_chain(g, node, chain)
        parent_ms = number(chain.blocks[-1]["unixtime"])
        time_ms = max(now_ms(), parent_ms + 1) if time_ms is None else time_ms(parent_ms)
        return chain.child(key, time_ms, height=len(chain.blocks) + skip, **over)

    cases = (("height skipped", lambda: child(skip=1), INVALID), ("time of the parent", lambda: child(lambda parent_ms: parent_ms), INVALID),
             ("too far ahead", lambda: child(lambda _: now_ms() + g["ahead_ms"] + 60_000), NOT_YET), ("bodies that nobody has", lambda: child(txs=[H(os.urandom(32))]), NOT_YET),
             ("a transaction twice", lambda: child(txs=[H(b"twice")] * 2), INVALID))
    for name, make, code in cases:
        b = make()
        refuse(name, wire(b), code) if b else report.skip("block, " + name, "no nonce found")

    def good():
        b = child()
        answer = node.pb.Message.FromString(node.raw("/Synchronization/BlockTo", wire(b))).value
        need("block kept", b["blockhash"], node.block(b["blockhash"])["blockhash"])
        need("the tip's hash answered", True, node.block(answer)["height"] >= b["height"])

    report.check("block, mined by this client", good)
