"""`make fuzz`: very many inputs for whatever reads some. Exit code 1, with the input, when one is neither taken nor
refused with an error of our own, or runs anything."""

import argparse
import random
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from guard import Ran, nothing_runs
from rich.console import Console
from rich.table import Table
from targets import TARGETS


def one(target, seed, number):
    """True when input `number` of the target was taken. The same numbers make the same input."""
    value = target.make(random.Random(f"{seed} {target.name} {number}"))
    try:
        with warnings.catch_warnings(), nothing_runs():
            warnings.simplefilter("ignore")
            return target.taken(value)
    except (Exception, Ran, SystemExit):
        again = f"--seed {seed} --only '{target.name}' --number {number}"
        sys.stderr.write(f'\n{target.name}: {value!r:.5000}\nAgain with: make fuzz ARGS="{again}"\n')
        raise


def run(target, seed, inputs):
    """How many were taken, how many refused, seconds, defects."""
    began, taken, defects = time.perf_counter(), 0, 0
    for number in range(inputs):
        try:
            taken += one(target, seed, number)
        except (Exception, Ran, SystemExit):
            traceback.print_exc()
            defects += 1
            if defects >= 5:
                break
    return taken, number + 1 - taken - defects, time.perf_counter() - began, defects


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="the name of one target")
    parser.add_argument("--number", type=int, help="this input alone")
    options = parser.parse_args()
    targets = [target for target in TARGETS if options.only in (None, target.name)]
    if options.number is not None:
        for target in targets:
            one(target, options.seed, options.number)
        return
    table = Table("target", "inputs", "refused", "accepted", "seconds", "defects")
    total = 0
    for target in targets:
        inputs = max(1, round(options.inputs * target.share / sum(each.share for each in targets)))
        taken, refused, seconds, defects = run(target, options.seed, inputs)
        table.add_row(target.name, *map(str, (taken + refused + defects, refused, taken, f"{seconds:.0f}", defects)))
        total += defects
    Console().print(table)
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
