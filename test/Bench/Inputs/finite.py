"""finite.py FILE.csv COLUMN...: every cell of the columns is a number."""

import csv
import math
import sys

path, *columns = sys.argv[1:]
with open(path) as file:
    rows = list(csv.DictReader(file))
assert rows, path
for row in rows:
    for column in columns:
        assert math.isfinite(float(row[column])), (column, row)
