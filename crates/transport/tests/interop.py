#!/usr/bin/env python3
"""A client generated from the frozen contract, against a running node.

interop.py --proto proto/blochie.proto --address HOST:PORT --genesis-hex HEX --seed HEX
           [--other-address HOST:PORT]… [--member-seed HEX] [--wait SECONDS]
interop.py --self-test docs/protocol/vectors.json

--seed is the secret of a sender that the node admits; --member-seed the secret of a member that does not mine at the
moment: with it (or on an open chain) the client also mines a block, and blocks that are too early or lack bodies. Needs
grpcio-tools, protobuf and cryptography, and nothing of this project but the .proto file and the two modules beside this one.

Prints `ok NAME`, `skip NAME reason` or `FAIL NAME expected … got …` for each check, then `N passed, M failed`; exit 1 on any failure.
"""
import argparse
import atexit
import importlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from interop_malformed import bad_blocks, bad_discovery, bad_reads, bad_transactions, now_ms
from interop_rules import (Chain, Fault, H, be, child_target, decode, encode, extensions, genesis_block, header, hello, head, judge_transaction, make_transaction,
                           need, next_lag, number, parse_genesis, parse_hello, public, record_commitment, record_payload, wire_fields, work)

CALL_SECONDS = 20


class Report:
    """Counts and prints; a check that raises is a failure with its text, and the run goes on."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, run):
        try:
            value = run()
        except Exception as fault:  # whatever it was, it is this check's failure
            self.failed += 1
            print(f"FAIL {name} {type(fault).__name__ if not isinstance(fault, Fault) else ''} {fault}".replace("\n", " "), flush=True)
            return None
        self.passed += 1
        print(f"ok {name}", flush=True)
        return value

    def skip(self, name, why):
        print(f"skip {name} {why}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def generate(proto):
    """The modules that grpcio-tools makes of the frozen contract."""
    from grpc_tools import protoc

    proto, out = pathlib.Path(proto).resolve(), tempfile.mkdtemp(prefix="interop-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    if protoc.main(["protoc", f"-I{proto.parent}", f"--python_out={out}", f"--grpc_python_out={out}", proto.name]):
        raise SystemExit(f"cannot compile {proto}")
    sys.path.insert(0, out)
    return importlib.import_module(f"{proto.stem}_pb2"), importlib.import_module(f"{proto.stem}_pb2_grpc")


class Node:
    """The generated stubs for what is right, raw bytes for what is malformed."""

    def __init__(self, address, pb, pb_grpc):
        import grpc

        self.grpc, self.pb, self.channel = grpc, pb, grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(timeout=CALL_SECONDS)
        self.discovery, self.synchronization = pb_grpc.DiscoveryStub(self.channel), pb_grpc.SynchronizationStub(self.channel)

    def message(self, value):
        return self.pb.Message(value=value)

    def raw(self, method, request):
        same = lambda data: data
        return self.channel.unary_unary(method, request_serializer=same, response_deserializer=same)(request, timeout=CALL_SECONDS)

    def refused(self, method, request, code, *words):
        """The call fails with `code` and a reason that has every one of `words`."""
        try:
            self.raw(method, request)
        except self.grpc.RpcError as error:
            need("status", f"{code}", f"{error.code().name}" if error.code().name == code else f"{error.code().name} ({error.details()})")
            need("reason given", True, bool(error.details()))
            for word in words:
                need(f"'{word}' in the reason '{error.details()}'", True, word in error.details().lower())
            return
        raise Fault(f"status: expected {code}, got OK")

    def block(self, value):
        return self.parse_block(self.synchronization.BlockFrom(self.message(value), timeout=CALL_SECONDS))

    def parse_block(self, m):
        b = {f: getattr(m, f) for f in ("height", "unixtime", "previoushash", "blockhash", "difficulty", "answer", "miner", "number")}
        rest = wire_fields(m.SerializeToString())  # the contract's reader keeps the fields it does not know
        one = lambda tag: next((v for t, v in rest if t == tag), None)
        return b | {"txshash": list(m.txshash), "siblinghash": [v for t, v in rest if t == 10], "minersignature": one(11), "historyroot": one(12)}

    def block_bytes(self, b, drop=()):
        known = {f: b[f] for f in ("height", "unixtime", "previoushash", "blockhash", "difficulty", "answer", "txshash", "miner", "number") if f not in drop}
        return self.pb.Block(**known).SerializePartialToString() + extensions(b)

    def transaction(self, value):
        m = self.synchronization.TransactionFrom(self.message(value), timeout=CALL_SECONDS)
        t = {f: getattr(m, f) for f in ("unixtime", "body", "txhash", "type", "txfrom")}
        return t | ({"txto": m.txto} if m.HasField("txto") else {})

    def transaction_bytes(self, t, drop=()):
        return self.pb.Transaction(**{k: v for k, v in t.items() if k not in drop}).SerializePartialToString()


def read_chain(g, node, chain=None):
    """Every block by height from genesis to the tip of this moment, judged; starts again if the chain moved below us."""
    for attempt in range(3):
        chain = chain or Chain(g)
        try:
            tip = node.block(b"")
            while len(chain.blocks) <= tip["height"]:
                b = node.block(be(len(chain.blocks), 8))
                if number(b["unixtime"]) > now_ms() + g["ahead_ms"] + 1000:
                    raise Fault(f"time of block {b['height']}: expected at most {g['ahead_ms']} ms ahead, got {number(b['unixtime']) - now_ms()}")
                chain.add(b)
            return chain
        except Fault as fault:
            last = Fault(f"block {len(chain.blocks)}: {fault}")
            chain = None
    raise last


def record_of(g, secret, text, time_ms=None):
    commitment = record_commitment(g["chain_id"], public(secret), None, H(text.encode()), "text/plain", text.encode())
    return make_transaction(g["chain_id"], secret, now_ms() if time_ms is None else time_ms, 1, record_payload(commitment)), commitment


def right_way(report, g, node, args):
    """Hello, read, submit, fetch, wait, recompute. Returns the chain and the RECORD."""
    nonce = number(os.urandom(8))

    def say_hello():
        answer = parse_hello(node.discovery.Hello(node.message(hello(g["chain_id"], 0, 0, 0, nonce)), timeout=CALL_SECONDS).value)
        need("chain id", g["chain_id"], answer["chain_id"])
        need("a nonce of its own", True, answer["nonce"] != nonce)
        return answer

    answer = report.check("hello", say_hello)
    chain = report.check("chain from genesis, each block recomputed", lambda: read_chain(g, node))
    if answer and chain and answer["height"] < len(chain.blocks):
        report.check("hello names the work of its height", lambda: need("work", sum(work(number(b["difficulty"])) for b in chain.blocks[1:answer["height"] + 1]), answer["work"]))
    secret = args.seed
    t, commitment = record_of(g, secret, f"interop {nonce}")
    wire = node.pb.Transaction(**t)
    submit = lambda m: node.synchronization.TransactionTo(m, timeout=CALL_SECONDS).value
    report.check("record submitted, its txhash answered", lambda: need("answer", t["txhash"], submit(wire)))
    report.check("record submitted again, the same answer", lambda: need("answer", t["txhash"], submit(wire)))
    report.check("record fetched while it is known", lambda: need("transaction", t, node.transaction(t["txhash"])))
    old, _ = record_of(g, secret, f"interop old {nonce}", 0)
    report.check("a claimed time has no lower bound", lambda: need("answer", old["txhash"], submit(node.pb.Transaction(**old))))

    def committed():
        nonlocal chain
        until = time.monotonic() + args.wait
        while time.monotonic() < until:
            chain = read_chain(g, node, chain)
            for b in chain.blocks:
                if t["txhash"] in b["txshash"]:
                    return b["height"]
            time.sleep(0.2)
        raise Fault(f"commit: expected within {args.wait} s, got none by height {len(chain.blocks) - 1}")

    height = report.check("record committed in a recomputed block", committed)

    def bodies():
        total = 0
        for b in chain.blocks:
            for h in b["txshash"]:
                fetched = node.transaction(h)
                need("txhash", h, fetched["txhash"])
                judge_transaction(g, fetched)
                total += len(fetched["body"])
        need("some body", True, total > 0)

    if chain:
        report.check("body of every committed transaction", bodies)
        report.check("record's commitment is in the chain", lambda: need("payload", record_payload(commitment), node.transaction(t["txhash"])["body"][65:]))
        report.check("record submitted once committed, the same answer", lambda: need("answer", t["txhash"], submit(wire)))
        report.check("block by hash is the block by height", lambda: need("block", chain.blocks[-1], node.block(chain.blocks[-1]["blockhash"])))
    for other in args.others:
        def agrees(other=other):
            until = time.monotonic() + args.wait
            while True:
                try:
                    need("block with the record", chain.blocks[height], other.block(be(height, 8)))
                    return need("record", t, other.transaction(t["txhash"]))
                except (Fault, other.grpc.RpcError):
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.2)
        report.check("another node has the same block and record", agrees)
    return chain, t


def relay(report, g, node, chain):
    """What the node served comes back to it through the frozen contract's own encoder."""
    served = node.synchronization.BlockFrom(node.message(chain.blocks[-1]["blockhash"]), timeout=CALL_SECONDS)
    known = lambda value: node.block(value)["blockhash"] == value
    report.check("a known block relayed, the tip's hash answered", lambda: need("known", True, known(node.synchronization.BlockTo(served, timeout=CALL_SECONDS).value)))

    def exchange():
        tip = node.parse_block(node.synchronization.ExchangeBlock(served, timeout=CALL_SECONDS))
        need("tip not below", True, tip["height"] >= chain.blocks[-1]["height"])

    report.check("a known block exchanged for the tip", exchange)

    def nodes():
        answer = node.discovery.ExchangeNode(node.pb.Node(number=0), timeout=CALL_SECONDS)
        need("number", len(answer.ipport), answer.number)
        need("at most 64", True, len(answer.ipport) <= 64)
        need("each ip:port", True, all(b":" in a for a in answer.ipport))

    report.check("nodes exchanged", nodes)


def run(args):
    report, g = Report(), parse_genesis(args.genesis)
    pb, pb_grpc = generate(args.proto)
    node = Node(args.address, pb, pb_grpc)
    args.others = [Node(a, pb, pb_grpc) for a in args.other_address]
    chain, t = right_way(report, g, node, args)
    if chain:
        relay(report, g, node, chain)
    bad_discovery(report, g, node)
    bad_reads(report, g, node)
    bad_transactions(report, g, node, args.seed)
    if chain:
        bad_blocks(report, g, node, chain, args.member_seed, read_chain)

        def unharmed():
            need("genesis", genesis_block(g)["blockhash"], node.block(be(0, 8))["blockhash"])
            need("record", t, node.transaction(t["txhash"]))
            need("chain not shorter", True, len(read_chain(g, node).blocks) >= len(chain.blocks))

        report.check("nothing of it changed the chain", unharmed)
    return report.end()


def self_test(file):
    """The rules of this client against the published vectors, and each spoiled block refused."""
    report, v = Report(), json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    raw = bytes.fromhex
    for row in v["chain_id"]:
        report.check(f"chain id, {row['name']}", lambda: need("chain id", raw(row["chain_id"]), parse_genesis(raw(row["bytes"]))["chain_id"]))
    for row in v["transactions"]:
        g = {"chain_id": raw(row["chain_id"])}
        t = make_transaction(g["chain_id"], raw(row["secret"]), row["time_ms"], row["type"], raw(row["payload"]), row["to"] and raw(row["to"]))
        report.check(f"transaction, {row['name']}", lambda: (need("txhash", raw(row["txhash"]), t["txhash"]), need("body", raw(row["body"]), t["body"]), judge_transaction(g, t)))
    leaves = [raw(x) for x in v["merkle"]["leaves"]]
    for n, want in enumerate(v["merkle"]["heads"]):
        report.check(f"head of {n}", lambda: need("head", raw(want), head(leaves[:n])))
    for row in v["compact"]["decode"]:
        report.check(f"target {row['compact']:08x}", lambda: (need("target", number(raw(row["target"])), decode(row["compact"])), need("work", number(raw(row["work"])), work(row["compact"]))))
    report.check("targets encoded", lambda: [need("compact", row["compact"], encode(number(raw(row["target"])))) for row in v["compact"]["encode"]])
    for row in v["asert"]["rule"]:
        def schedule(lag=0):
            for i, at in enumerate(row["times_ms"]):
                lag = next_lag(row, lag, at - row["times_ms"][i - 1]) if i else 0
                need(f"lag {i}", row["lag_ms"][i], lag)
                need(f"target {i}", row["child_target"][i], child_target(row, lag))
        report.check(f"difficulty, {row['name']}", schedule)
    for row in v["commitment"]["record"]:
        got = record_commitment(raw(row["chain_id"]), raw(row["issuer"]), row["addressee"] and raw(row["addressee"]), raw(row["salt"]), row["media_type"], raw(row["bytes"]))
        report.check(f"commitment, {row['name']}", lambda: need("commitment", raw(row["commitment"]), got))
    for row in v["hello"]:
        report.check("hello", lambda: need("bytes", raw(row["bytes"]), hello(raw(row["chain_id"]), row["height"], number(raw(row["work"])), row["port"], row["nonce"])))
    self_test_chain(report, v["chain"], raw)
    return report.end()


def self_test_chain(report, v, raw):
    g, chain = parse_genesis(raw(v["genesis"])), None
    integers = ("height", "number")
    blocks = [{k: x if k in integers else [raw(y) for y in x] if k == "txshash" else raw(x) for k, x in b.items()} | {"siblinghash": []} for b in v["blocks"]]
    blocks[0] |= {"minersignature": None}

    def whole(upto=None):
        chain = Chain(g)
        for b in blocks[:upto]:
            chain.add(b)
        return chain

    chain = report.check("chain", whole)
    report.check("work of the chain", lambda: need("work", number(blocks[-1]["chain_work"]), chain.work))
    report.check("preimages", lambda: [need("preimage", b["preimage"], header(g, b, b["historyroot"])) for b in blocks])
    for field in ("height", "unixtime", "previoushash", "blockhash", "difficulty", "answer", "miner", "number", "minersignature", "historyroot", "txshash"):
        def spoiled():
            b = blocks[1]
            x = b[field] + 1 if field in integers else b[field][:-1] if field == "txshash" else bytes([b[field][0] ^ 1]) + b[field][1:]
            try:
                whole(1).add(b | {field: x})
            except Fault:
                return
            raise Fault(f"spoiled {field}: expected a fault, got none")
        report.check(f"spoiled {field} refused", spoiled)

    def mined():
        seen = whole()
        b = seen.child(g["members"][0][0], number(blocks[-1]["unixtime"]) + 5)
        need("hash", H(header(g, b, seen.log.head())), b["blockhash"])
        need("fields on the wire", [(11, bytes(64)), (12, b["historyroot"])], wire_fields(extensions(b | {"minersignature": bytes(64)})))

    report.check("a child mined, its own tags on the wire", mined)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proto")
    parser.add_argument("--address")
    parser.add_argument("--other-address", action="append", default=[])
    parser.add_argument("--genesis-hex", dest="genesis", type=bytes.fromhex)
    parser.add_argument("--seed", type=bytes.fromhex, default=H(b"interop"))
    parser.add_argument("--member-seed", type=bytes.fromhex)
    parser.add_argument("--wait", type=float, default=60.0)
    parser.add_argument("--self-test", metavar="VECTORS")
    args = parser.parse_args()
    if args.self_test:
        return self_test(args.self_test)
    if not (args.proto and args.address and args.genesis):
        parser.error("--proto, --address and --genesis-hex are needed (or --self-test)")
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
