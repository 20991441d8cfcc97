"""Every numbered constraint of a TableGen file has a failing test.

check-constraints.py TESTFILE TDFILE...: a constraint `* (Cn)` of the record
`Lathe_NameOp`, `Lathe_NameAttr` or `Lathe_NameType` wants a comment
`// Name (Cn)` (types: `// Name type (Cn)`) in TESTFILE.
"""

import re
import sys

DEF = re.compile(r"^def Lathe_(\w+)")
CONSTRAINT = re.compile(r"^\s*\* \((C\d+)\)")
CASE = re.compile(r"^// (\w+(?: type)?) \((C\d+)\)", re.M)


def subject(record):
    for suffix, label in [("Op", ""), ("Attr", ""), ("Type", " type")]:
        if record.endswith(suffix):
            return record[: -len(suffix)] + label
    return record


def constraints(path):
    record = None
    for line in open(path):
        if match := DEF.match(line):
            record = subject(match[1])
        elif match := CONSTRAINT.match(line):
            yield record, match[1]


def main():
    tested = set(CASE.findall(open(sys.argv[1]).read()))
    declared = {c for path in sys.argv[2:] for c in constraints(path)}
    for record, number in sorted(declared - tested):
        print(f"no failing test for {record} ({number})")
    for record, number in sorted(tested - declared):
        print(f"a test for {record} ({number}), which is not declared")
    print(f"{len(declared)} constraints")
    sys.exit(declared != tested)


main()
