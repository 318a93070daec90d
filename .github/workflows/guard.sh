#!/usr/bin/env bash
# Watch each component whose prod pointer a publish has just moved; what is bad is rolled back and published.
#
#   guard.sh STATUS    STATUS is `edgit status --format json` from before the publish; GUARD names one component instead
#
# Ends with 0 when all are good, 1 when something was rolled back, 2 when it could not be told, 5 when a roll-back failed,
# 6 when a watch could not begin.
set -euo pipefail

if [[ -n "${GUARD:-}" ]]; then
  moved="$GUARD"
else
  moved=$(jq -r '[.kv.unpublished_moves[]? | select(.environment == "prod" and .version != null) | .component] | unique | .[]' "$1")
fi
if [[ -z "$moved" ]]; then
  echo "nothing was moved in prod: nothing to watch"
  exit 0
fi

worst=0
while read -r component; do
  code=0
  edgit guard "$component" --from prod --metrics "$METRICS_URL" \
    --threshold "${GUARD_THRESHOLD:-0.01}" --window "${GUARD_WINDOW:-60}" \
    --min-requests "${GUARD_MIN_REQUESTS:-20}" --settle "${GUARD_SETTLE:-65}" || code=$?
  # The worst is told: a roll-back that failed, one that was made, what was not watched at all, what could not be told.
  case "$worst/$code" in
    5/* | */0) ;;
    */5) worst=5 ;;
    1/*) ;;
    */1) worst=1 ;;
    6/*) ;;
    *) worst=$code ;;
  esac
done <<<"$moved"
exit "$worst"
