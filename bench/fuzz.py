"""A hundred thousand inputs for each parser of what strangers write.

    scripts/with-venv bench/fuzz.py [--inputs 100000] [--only NAME] [--seed N]

Inputs and what must hold for them are in packages/uaitrain/tests/fuzz/fuzz_targets.py. The same
seed gives the same inputs. To bench/results/fuzz.json; ends with 1 where something was found.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests" / "fuzz"))

from fuzz_targets import TARGETS, Target  # noqa: E402 - found through the line above

RESULTS = ROOT / "bench" / "results" / "fuzz.json"


def campaign(target: Target, inputs: int, number: int) -> dict[str, object]:
    """Run ``inputs`` of them, or up to the first that breaks a property."""
    count, slowest = 0, 0.0

    @seed(number)
    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def run(case: object) -> None:
        nonlocal count, slowest
        began = time.perf_counter()
        target.holds(case)
        count, slowest = count + 1, max(slowest, time.perf_counter() - began)

    began, found = time.monotonic(), ""
    try:
        run()
    except Exception:  # noqa: BLE001 whatever comes out is the find
        found = traceback.format_exc(limit=-3)
    return {
        "seed": number,
        "inputs": count,
        "seconds": round(time.monotonic() - began, 1),
        "slowest_ms": round(slowest * 1000, 1),
        "found": found,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--only", choices=list(TARGETS))
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    broken = False
    for name in [arguments.only] if arguments.only else TARGETS:
        print(f"{name}: seed {arguments.seed} …", flush=True)
        result = campaign(TARGETS[name], arguments.inputs, arguments.seed)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = result
        broken |= bool(result["found"])
        print(f"  {result['inputs']} inputs in {result['seconds']} s, {result['found'] or 'clean'}")
        RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
