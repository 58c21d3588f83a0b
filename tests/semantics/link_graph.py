#!/usr/bin/env python3
"""Advisory by structure: what semantics is built from never reaches what posts, rewards or gates, and the other way.

Looks at the archives of the build, not at names of targets: every object file that semantics brings is followed along the
symbols that it wants, through whatever archive defines them, as the linker does. Forbidden is an object made from a file
that prices, posts, rewards or gates. And none of those objects may want a symbol that only semantics defines.

usage: link_graph.py NM BUILD_DIR
exit: 0 kept, 1 broken (the way is printed), 2 the build is not there
"""
import pathlib
import re
import subprocess
import sys

FORBIDDEN = re.compile(
    r"^(actors/econ/(?!strict_toml)|actors/learning/|storage/ledger|actors/[a-z_]*/?[a-z_/]*gates)")
SEMANTIC = re.compile(r"^actors/semantics/")
DEFINED, WANTED = set("TDBRWVuCGS"), set("U")


def objects(nm, archive, folder):
    """(source-like path, defined, wanted) of each member of a static library."""
    text = subprocess.run([nm, str(archive)], capture_output=True, text=True, check=True).stdout
    name, defined, wanted = None, set(), set()
    for line in text.splitlines() + ["end.o:"]:
        if line.endswith(".o:"):
            if name:
                yield f"{folder}/{name}", defined, wanted
            name, defined, wanted = line[:-3], set(), set()
            continue
        part = line.split()
        if len(part) >= 2 and part[-2] in DEFINED:
            defined.add(part[-1])
        elif len(part) >= 2 and part[-2] in WANTED:
            wanted.add(part[-1])


def main():
    nm, build = sys.argv[1], pathlib.Path(sys.argv[2])
    found = {}
    for archive in sorted(build.rglob("libdrover_*.a")):
        for name, defined, wanted in objects(nm, archive, archive.parent.relative_to(build)):
            found[name] = (defined, wanted)
    ours = sorted(n for n in found if SEMANTIC.match(n))
    forbidden = sorted(n for n in found if FORBIDDEN.match(n))
    if not ours or not forbidden:
        print(f"nothing to check: {len(ours)} objects of semantics, {len(forbidden)} that price, post or gate")
        return 2
    # A symbol that several objects define (an inline function, a template) says nothing about where it comes from.
    owners = {}
    for name, (defined, _) in found.items():
        for symbol in defined:
            owners.setdefault(symbol, []).append(name)
    only = {symbol: names[0] for symbol, names in owners.items() if len(names) == 1}

    def reach(start):
        way = {name: None for name in start}
        queue = list(start)
        while queue:
            name = queue.pop()
            for symbol in found[name][1]:
                owner = only.get(symbol)
                if owner and owner not in way:
                    way[owner] = (name, symbol)
                    queue.append(owner)
        return way

    broken = 0
    for start, bad, what in ((ours, set(forbidden), "semantics reaches what prices, posts, rewards or gates"),
                             (forbidden, set(ours), "what prices, posts, rewards or gates reaches semantics")):
        way = reach(start)
        for name in sorted(bad & set(way)):
            broken += 1
            print(f"BROKEN: {what}:")
            step = name
            while way[step]:
                before, symbol = way[step]
                print(f"  {before} wants {symbol} of {step}")
                step = before
    print(f"{len(ours)} objects of semantics, {len(forbidden)} that price, post, reward or gate, {len(found)} in all: "
          f"{'no way between them' if not broken else str(broken) + ' ways'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
