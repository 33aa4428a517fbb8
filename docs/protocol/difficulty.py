#!/usr/bin/env python3
"""The difficulty rule in plain integers, to hold any implementation against; needs nothing but Python.

difficulty.py --published   checks this page's own arithmetic against aserti3-2d.txt beside it, exit 1 on a difference
difficulty.py               answers each line of standard input by one line:
    target LAG HALF_LIFE FIRST MOST            compact target (the rule's function of one lag)
    lag TIME... / T HALF_LIFE FIRST MOST       lag of each block along these times, the first being genesis
    encode TARGET                              compact form, clamped (targets below 2^256)
    work COMPACT...                            sum of the work, 0 for none
Numbers are decimal. rules.py has the same rule for vectors.py; this one was written beside it, from the text.
"""
import pathlib
import sys

LEAST, MOST = 0x03008000, 0x207FFFFF


def value(compact):
    return (compact & 0xFFFFFF) * 256 ** ((compact >> 24) - 3)


def compact(target):
    """The largest canonical compact target that is not above."""
    if target <= value(LEAST):
        return LEAST
    if target >= value(MOST):
        return MOST
    e = 3
    while target >> 8 * (e - 3) > 0x7FFFFF:
        e += 1
    return e << 24 | target >> 8 * (e - 3)


def bound(lag, half_life, first, least, most):
    """first·2^(lag/half_life) by the cubic of aserti3-2d, clamped."""
    x = abs(lag) * 65536 // half_life
    x = x if lag >= 0 else -x
    n, f = divmod(x, 65536)
    cubic = 65536 + ((195766423245049 * f + 971821376 * f * f + 5127 * f * f * f + (1 << 47)) >> 48)
    if n >= 240:
        return most
    if n <= -241:
        return least
    product = first * cubic * 2 ** (n + 241) >> 16 + 241
    return min(most, max(least, product))


def target(lag, half_life, first, most):
    return compact(bound(lag, half_life, value(first), value(LEAST), value(most)))


def lags(times, interval, half_life, first, most):
    ceiling = half_life * (len(bin(value(most))) - len(bin(value(first))) + 1)
    out = [0]
    for i in range(1, len(times)):
        step = times[i] - times[i - 1]
        out.append(min(out[-1] + (step if step < 288 * interval else 288 * interval) - interval, ceiling))
    return out


def work(targets):
    return sum((1 << 256) // (value(t) + 1) for t in targets)


# --- the published vectors have targets below ours, in Bitcoin's own compact form


def bitcoin_value(bits):
    e, m = bits >> 24, bits & 0x7FFFFF
    return m >> 8 * (3 - e) if e <= 3 else m << 8 * (e - 3)


def bitcoin_compact(target):
    size = (target.bit_length() + 7) // 8
    m = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if m & 0x800000:
        m, size = m >> 8, size + 1
    return size << 24 | m


def published():
    text = pathlib.Path(__file__).with_name("aserti3-2d.txt").read_text(encoding="ascii")
    checked = wrong = 0
    for words in (line.split() for line in text.splitlines() if not line.startswith("#")):
        if words[0] == "run":
            height, time, bits = int(words[2]), int(words[3]), int(words[4], 16)
            continue
        lag = int(words[1]) - time - 600 * (int(words[0]) - height + 1)
        got = bitcoin_compact(bound(lag, 172_800, bitcoin_value(bits), 1, bitcoin_value(0x1D00FFFF)))
        checked += 1
        if got != int(words[2], 16):
            wrong += 1
            print(f"{' '.join(words)}: got {got:#010x}")
    print(f"{checked} published lines, {wrong} differ")
    return 1 if wrong or not checked else 0


def answer(words):
    if words[0] == "lag":
        cut = words.index("/")
        return lags([int(w) for w in words[1:cut]], *(int(w) for w in words[cut + 1:]))
    numbers = [int(w) for w in words[1:]]
    if words[0] == "target":
        return [target(*numbers)]
    if words[0] == "encode":
        return [compact(*numbers)]
    if words[0] == "work":
        return [work(numbers)]
    raise ValueError(words[0])


def main():
    if sys.argv[1:] == ["--published"]:
        return published()
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 64
    for line in sys.stdin:
        print(*answer(line.split()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
