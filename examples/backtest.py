"""What would two policies have said of the past? Judges an export again, and holds both against what happened.

driftline export telemetry.feature-stats --from 2026-11-01 --to 2026-11-15 -o november.parquet
python backtest.py november.parquet incidents.csv
"""

import sys

from driftline import backtest

history, incidents = sys.argv[1:]

found = backtest(history, policies={"usual": "", "coarse": "[floors]\nmean_shift = 1.5\npsi = 2.0"}, labels=incidents)
for policy in found.policies.iter_rows(named=True):
    print("{policy}: {hits} of {incidents} incidents, {false_alerts} false alerts".format(**policy))
found.to_html("backtest.html")
