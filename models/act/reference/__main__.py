"""`python -m models.act.reference DIR`: print the largest error of every output tensor as one JSON object.

Exit 0 where all are within 1e-4, 1 where one is not, 2 where the folder cannot be compared.
"""

import json
import math
import sys

from models.act.reference.compare import TOLERANCE, errors


def main(arguments: list[str]) -> int:
    """Compare one folder."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m models.act.reference DIR\n")
        return 2
    try:
        deviations = errors(arguments[0])
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    plain = {name: error if math.isfinite(error) else None for name, error in deviations.items()}
    sys.stdout.write(json.dumps(plain, indent=1, allow_nan=False) + "\n")
    wrong = [name for name, error in deviations.items() if not error <= TOLERANCE]
    if wrong:
        worst = max(wrong, key=lambda name: deviations[name])
        sys.stderr.write(f"{len(wrong)} of {len(deviations)} differ by more than {TOLERANCE:g}, most {worst}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
