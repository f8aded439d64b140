#!/usr/bin/env python3
"""Make the golden files beside this script; see README.md.

    python3 make_goldens.py [nets|rng|samplers|tokens|prompts|pictures ...]     (all when none is given)
"""

import importlib
import os
import sys

PARTS = ("nets", "rng", "samplers", "tokens", "prompts", "pictures")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    sys.dont_write_bytecode = True
    wanted = sys.argv[1:] or PARTS
    for part in wanted:
        if part not in PARTS:
            sys.exit(f"make_goldens.py: no part '{part}'; the parts are {', '.join(PARTS)}")
    import kinds  # after the path is set
    kinds.write_lists(os.path.join(here, "tensors"))
    for part in wanted:
        print(part)
        importlib.import_module(part).make(here)


if __name__ == "__main__":
    main()
