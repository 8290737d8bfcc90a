"""Certificates of many random factors against exact integers: python tests/fuzz_certificates.py [cases]"""

import sys

from certificate_cases import run


def main():
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    certified, at_rounding, violated, (excess, seed) = run(range(cases))
    print(f"greatest bound / actual: {1 + excess:.6f}, case {seed}; {at_rounding} errors at rounding level")
    print(f"{cases} cases, {certified} certified errors, {len(violated)} violated {violated[:10]}")
    sys.exit(1 if violated or excess > 0.01 else 0)


if __name__ == "__main__":
    main()
