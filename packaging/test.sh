#!/usr/bin/env bash
# All tests, with coverage. The last line printed is pytest's own summary.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache

export COVERAGE_FILE=.cache/coverage
.venv/bin/python -m coverage run -m pytest "$@" </dev/null 2>&1 | tee .cache/pytest.log
code=$?
echo
.venv/bin/python -m coverage report
echo
grep -E '^(=+ )?([0-9]+ [a-z]+(, )?)+ in [0-9.]+s' .cache/pytest.log | tail -n 1
exit "$code"
