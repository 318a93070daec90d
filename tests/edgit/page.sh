#!/usr/bin/env bash
# Every command of the page "Rollback & Time Travel" as it is written there and in its order, with what it must print.
#
#     page.sh FOLDER       FOLDER is empty; `edgit`, `curl`, `wrangler`, `vim` and `sleep` are on the PATH
#
# METRICS answers /error-rate and /test, EDGE is an edge over the KV file of $KV. tests/edgit/test_page.py starts both, and
# makes the stand-ins. Lines that begin with a command of the page and have nothing before it are the page's own.

set -euo pipefail

FOLDER=$1
cd "$FOLDER"
unset CDPATH

section() { echo "== $*"; }

# is WHAT EXPECTED FOUND
is() {
  if [ "$2" != "$3" ]; then
    printf 'page.sh: %s\n--- expected\n%s\n--- found\n%s\n---\n' "$1" "$2" "$3" >&2
    exit 1
  fi
}

# fails CODE COMMAND…: it exits with that code.
fails() {
  local code=0
  "${@:2}" > ../out 2> ../err || code=$?
  is "exit code of: ${*:2}" "$1" "$code"
}

# at INSTANT: the clock of git and of edgit.
at() { export GIT_AUTHOR_DATE="$1" GIT_COMMITTER_DATE="$1"; }

# All that `git push` says stands on standard error. With edgit.autoPush there is nothing left to push.
git() {
  if [ "$*" = "push --tags" ]; then
    local said
    said=$(command git push --tags 2>&1)
    is "git push --tags" "Everything up-to-date" "$said"
  else
    command git "$@"
  fi
}

# live COMPONENT ENVIRONMENT VERSION: by edgit, by the tag here, and by the tag at the remote.
live() {
  is "$1 $2" "$3" "$(edgit deploy get "$1" --from "$2")"
  is "the tag of $1 $2" "$(git rev-parse "components/$1/$3^{commit}")" "$(git rev-parse "components/$1/$2^{commit}")"
  is "the remote's tag of $1 $2" "$(git rev-parse "refs/tags/components/$1/$2")" \
    "$(git ls-remote origin "refs/tags/components/$1/$2" | cut -f1)"
}

repository() {
  git init --quiet --bare "$1.git"
  git clone --quiet "$1.git" "$1" 2> /dev/null
  cd "$1"
  git config edgit.kv local
  mkdir -p components/prompts components/configs components/scripts
}

# version COMPONENT FILE VERSION
version() {
  echo "$1 $3" > "$2"
  edgit tag create "$1" "$3" > /dev/null 2>&1
}
my() { version my-prompt components/prompts/my-prompt.md "$1"; }
extraction() { version extraction-prompt components/prompts/extraction-prompt.md "$1"; }
# The page edits components/prompts/analysis.md for it: a name that .edgit/components.json gives.
analysis() { version analysis-prompt components/prompts/analysis.md "$1"; }
validation() { version validation-config components/configs/validation-config.json "$1"; }
transform() { version transform-script components/scripts/transform-script.js "$1"; }
# Each move is published at once, as the workflow does it.
prod() { edgit deploy set "$@" --to prod --publish > /dev/null 2>&1; }
registry() {
  mkdir -p .edgit
  echo '{"components": {"analysis-prompt": {"path": "components/prompts/analysis.md", "type": "prompt"}}}' \
    > .edgit/components.json
  git add .edgit
  git commit --quiet -m "Name analysis-prompt"
}

section "the world before the page"

at 2024-11-01T09:00:00Z
repository page
registry
# Pushed once at the end: with edgit.autoPush every line here would be a push.
my v0.9.0
extraction v1.0.4
analysis v1.8.0
at 2024-11-01T09:15:00Z
prod my-prompt v0.9.0 analysis-prompt v1.8.0
at 2024-11-06T09:00:00Z
analysis v1.9.0
analysis v1.9.1
prod analysis-prompt v1.9.0 extraction-prompt v1.0.4
at 2024-11-08T10:30:00Z
my v1.0.0
prod my-prompt v1.0.0
at 2024-11-10T10:00:00Z
extraction v1.0.5
analysis v1.9.2
validation v1.4.0
prod extraction-prompt v1.0.5 analysis-prompt v1.9.2 validation-config v1.4.0
at 2024-11-11T09:00:00Z
prod extraction-prompt v1.0.4 analysis-prompt v1.9.1
at 2024-11-12T09:00:00Z
transform v2.1.3
prod extraction-prompt v1.0.5 analysis-prompt v1.9.2 transform-script v2.1.3
at 2024-11-12T14:30:00Z
printf 'my-prompt v1.1.0\nAnswer in one word.\n' > components/prompts/my-prompt.md
edgit tag create my-prompt v1.1.0 --message "Shorter answers" > /dev/null 2>&1
at 2024-11-12T14:45:00Z
prod my-prompt v1.1.0
at 2024-11-12T14:46:00Z
extraction v1.0.6
analysis v1.9.3
git push --quiet origin HEAD
edgit push > /dev/null 2>&1
git config edgit.autoPush true
edgit publish > /dev/null 2>&1

section "Emergency Rollback Playbook"

at 2024-11-12T14:50:00Z
# Step 1
is "components list --format tree" "my-prompt (prompt)
  v1.1.0 [prod]
  v1.0.0
  v0.9.0" "$(edgit components list --format tree | grep -A3 '^my-prompt')"
# Step 2
is "history my-prompt" "prod: v1.1.0 (deployed 2024-11-12T14:45:00Z by Ada)  current
prod: v1.0.0 (deployed 2024-11-08T10:30:00Z by Ada)
prod: v0.9.0 (deployed 2024-11-01T09:15:00Z by Ada)" "$(edgit history my-prompt)"
# Step 3
is "deploy set" "my-prompt prod: v1.1.0 -> v1.0.0" "$(edgit deploy set my-prompt v1.0.0 --to prod 2> ../err)"
is "what deploy set says next" "note: generation 21, pushed to origin
next: edgit publish --kv local, or let the workflow do it" "$(cat ../err)"
git push --tags
is "components list --format tree" "my-prompt (prompt)
  v1.1.0
  v1.0.0 [prod]
  v0.9.0" "$(edgit components list --format tree | grep -A3 '^my-prompt')"
live my-prompt prod v1.0.0
# What is live already is no move, and no error.
is "again" "my-prompt prod: v1.0.0 already" "$(edgit deploy set my-prompt v1.0.0 --to prod)"
# Step 4
is "the error rate" "0.002" "$(curl https://metrics.example.com/error-rate)"
is "the test" "prod is up" "$(curl https://prod.example.com/test)"
# Step 5
is "git diff of two versions" "+Answer in one word." \
  "$(git diff components/my-prompt/v1.0.0 components/my-prompt/v1.1.0 | grep '^+A')"
is "the message of a version's commit" "Shorter answers" \
  "$(git show components/my-prompt/v1.1.0 --format=%B --no-patch | tail -n 2 | sed '/^$/d')"

section "Partial Rollback"

at 2024-11-12T14:55:00Z
analysis v1.9.4-rc.1
analysis v2.0.0
validation v1.5.0
extraction v1.1.0
prod extraction-prompt v1.1.0 analysis-prompt v2.0.0 validation-config v1.5.0
live analysis-prompt prod v2.0.0
at 2024-11-12T14:56:00Z
edgit deploy set analysis-prompt v1.9.0 --to prod
git push --tags
live analysis-prompt prod v1.9.0
live extraction-prompt prod v1.1.0
live validation-config prod v1.5.0

section "Time Travel: Recreate Any State"

is "history --date" "analysis-prompt: v1.9.2
extraction-prompt: v1.0.5
my-prompt: v1.1.0
transform-script: v2.1.3
validation-config: v1.4.0" "$(edgit history --date="2024-11-12T14:47:00Z")"
edgit deploy set extraction-prompt v1.0.5 --to debug
edgit deploy set analysis-prompt v1.9.2 --to debug
edgit deploy set validation-config v1.4.0 --to debug
edgit deploy set transform-script v2.1.3 --to debug
git push --tags
live transform-script debug v2.1.3
is "debug" "debug is up: {\"input\": \"customer data from Tuesday\"}" "$(curl https://debug.example.com/test \
  -H "Content-Type: application/json" \
  -d '{"input": "customer data from Tuesday"}')"
edgit deploy set extraction-prompt v1.0.6 --to debug  # Try next version
edgit deploy set analysis-prompt v1.9.3 --to debug  # Try next version
live extraction-prompt debug v1.0.6
live analysis-prompt debug v1.9.3
# Nothing is committed between the edit and the version: tag create commits this one file.
echo "not this" > components/prompts/extraction-prompt.md
vim components/prompts/analysis.md
edgit tag create analysis-prompt v1.9.4
is "what is left to commit" " M components/prompts/extraction-prompt.md" "$(git status --porcelain)"
git checkout --quiet -- components/prompts/extraction-prompt.md
is "the new version's file" "fixed" "$(git show components/analysis-prompt/v1.9.4:components/prompts/analysis.md)"
edgit deploy set analysis-prompt v1.9.4 --to debug
edgit deploy set analysis-prompt v1.9.4 --to prod
git push --tags
live analysis-prompt prod v1.9.4

section "Rollback Strategies"

at 2024-11-12T15:00:00Z
prod my-prompt v1.1.0
edgit deploy set my-prompt v1.0.0 --to prod
git push --tags
edgit deploy set my-prompt v1.1.0 --to debug
live my-prompt prod v1.0.0
live my-prompt debug v1.1.0
KV_ID=page
wrangler kv:key put --namespace-id=$KV_ID "rollout-percentage" "10"
is "the percentage" "*: 10" "$(edgit canary get --format json | jq -r '.entries | to_entries[] | "\(.key): \(.value)"')"
prod my-prompt v1.1.0
edgit deploy set my-prompt v1.0.0 --to prod
edgit deploy set my-prompt v1.0.0 --to prod-us-west
edgit deploy set my-prompt v1.1.0 --to prod-eu
edgit deploy set my-prompt v1.1.0 --to prod-asia
is "three regions" "my-prompt (prompt)
  v1.1.0 [debug, prod-asia, prod-eu]
  v1.0.0 [prod, prod-us-west]
  v0.9.0" "$(edgit components list --format tree | grep -A3 '^my-prompt')"

section "Rollback Best Practices"

echo "If issues: edgit deploy set my-prompt v1.0.0 --to prod" > ROLLBACK.md
edgit deploy set my-prompt v1.1.0 --to staging
edgit deploy set my-prompt v1.0.0 --to staging  # Verify rollback works
live my-prompt staging v1.0.0
edgit deploy set my-prompt v1.1.0 --to prod-canary
live my-prompt prod-canary v1.1.0
edgit deploy unset my-prompt --from prod-canary
fails 1 edgit deploy get my-prompt --from prod-canary
live my-prompt prod v1.0.0
is "the remote has no canary" "" "$(git ls-remote origin refs/tags/components/my-prompt/prod-canary)"

cat > ../step.sh << 'STEP'
    # Deploy new version
    edgit deploy set my-prompt v1.1.0 --to prod
    git push --tags

    # Wait for deploy
    sleep 60

    # Check error rate
    ERROR_RATE=$(curl https://metrics.example.com/error-rate)

    if (( $(echo "$ERROR_RATE > 0.01" | bc -l) )); then
      echo "Error rate too high! Auto-rollback..."
      edgit deploy set my-prompt v1.0.0 --to prod
      git push --tags
      exit 1
    fi
STEP
# As a workflow runs it.
at 2024-11-12T15:10:00Z
bash -e -o pipefail ../step.sh
live my-prompt prod v1.1.0
curl -X POST -d 0.02 https://metrics.example.com/error-rate
fails 1 bash -e -o pipefail ../step.sh
is "what the step printed" "my-prompt prod: v1.1.0 already
Error rate too high! Auto-rollback...
my-prompt prod: v1.1.0 -> v1.0.0" "$(cat ../out)"
live my-prompt prod v1.0.0

edgit tag create my-prompt v999.0.0 components/my-prompt/v1.1.0
edgit deploy set my-prompt v999.0.0 --to prod-drill
edgit deploy set my-prompt v1.0.0 --to prod-drill
live my-prompt prod-drill v1.0.0

section "Use Case 1: Reproduce Customer Bug"

at 2024-11-12T16:00:00Z
is "history --date" "analysis-prompt: v1.9.1
extraction-prompt: v1.0.4
my-prompt: v1.0.0
validation-config: v1.4.0" "$(edgit history --date="2024-11-11T15:00:00Z")"
edgit deploy set extraction-prompt v1.0.4 --to debug
edgit deploy set analysis-prompt v1.9.1 --to debug
git push --tags
echo '{"input": "mine"}' > customer-input.json
is "debug" 'debug is up: {"input": "mine"}' "$(curl https://debug.example.com/test -d @customer-input.json)"

section "Use Case 2: Performance Regression Analysis"

(
  cd ..
  at 2024-11-01T09:00:00Z
  # A KV of its own, and another time: what its KV shows is asked of nobody.
  export KV="$PWD/performance.sqlite3"
  repository performance
  registry
  my v1.0.0
  analysis v1.8.0
  prod my-prompt v1.0.0 analysis-prompt v1.8.0
  # Two versions that came later must not show: what existed is one thing, what was live another.
  at 2024-11-06T09:00:00Z
  analysis v1.9.0
  prod analysis-prompt v1.9.0
  git push --quiet origin HEAD
  edgit push > /dev/null 2>&1
  git config edgit.autoPush true

  is "history --date" "analysis-prompt: v1.8.0
my-prompt: v1.0.0" "$(edgit history --date="2024-11-05T12:00:00Z")"
  edgit components list --format json > current-versions.json
  edgit history --date="2024-11-05T12:00:00Z" --format json > last-week-versions.json
  is "diff" '2c2
<   {"name": "analysis-prompt", "type": "prompt", "environments": {"prod": "v1.9.0"}},
---
>   {"name": "analysis-prompt", "type": "prompt", "environments": {"prod": "v1.8.0"}},' "$(diff current-versions.json last-week-versions.json || true)"
  is "the shape" '[{"name":"analysis-prompt","type":"prompt","environments":{"prod":"v1.9.0"}},{"name":"my-prompt","type":"prompt","environments":{"prod":"v1.0.0"}}]' \
    "$(jq -c . current-versions.json)"
  edgit deploy set analysis-prompt v1.8.0 --to benchmark-old
  edgit deploy set analysis-prompt v1.9.0 --to benchmark-new
  live analysis-prompt benchmark-old v1.8.0
  live analysis-prompt benchmark-new v1.9.0
)

section "Use Case 3: A/B Test Historical Versions"

my v1.5.0
my v1.8.0
edgit deploy set my-prompt v1.5.0 --to ab-test-a
edgit deploy set my-prompt v1.8.0 --to ab-test-b
git push --tags
mkdir ensembles
cat > ensembles/ab-test-historical.yaml << 'ENSEMBLE'
ensemble: ab-test-historical

agents:
  - name: variant-a
    operation: think
    component: my-prompt@v1.5.0
    condition: ${input.user_id % 2 === 0}

  - name: variant-b
    operation: think
    component: my-prompt@v1.8.0
    condition: ${input.user_id % 2 === 1}
ENSEMBLE
edgit check

section "Use Case 4: Audit Trail"

is "git log --grep" "deploy: components/my-prompt/ab-test-b none -> v1.8.0" \
  "$(git log --all --decorate --oneline --grep="components/my-prompt" | head -n 1 | sed -E 's/^[0-9a-f]+ (\([^)]*\) )?//')"
is "who deployed v1.1.0 to prod" "Ada" "$(git log --all --format=%an --grep="components/my-prompt/prod v1.0.0 -> v1.1.0" | sort -u)"
git log --all components/my-prompt/prod > ../out
is "git log of the tag" "    deploy: components/my-prompt/prod v1.0.0 -> v1.1.0" \
  "$(grep 'prod v1.0.0 -> v1.1.0$' ../out | sort -u)"
is "history --date" "v1.9.2" "$(edgit history --date="2024-11-10T16:30:00Z" | sed -n 's/^analysis-prompt: //p')"

section "Advanced: Multi-Component Time Travel"

cat > ../recreate-environment.sh << 'SCRIPT'
#!/bin/bash
# recreate-environment.sh

TARGET_DATE=$1
TARGET_ENV=$2

echo "Recreating environment from $TARGET_DATE to $TARGET_ENV..."

# Get all components
COMPONENTS=$(edgit components list --format json | jq -r '.[] | .name')

# For each component, get version at target date
for component in $COMPONENTS; do
  VERSION=$(edgit history $component --date="$TARGET_DATE" --from prod)

  if [ ! -z "$VERSION" ]; then
    echo "Deploying $component $VERSION to $TARGET_ENV"
    edgit deploy set $component $VERSION --to $TARGET_ENV
  fi
done

git push --tags

echo " Environment $TARGET_ENV now matches $TARGET_DATE"
SCRIPT
chmod +x ../recreate-environment.sh
is "recreate-environment.sh" "Recreating environment from 2024-11-10T14:30:00Z to debug...
Deploying analysis-prompt v1.9.2 to debug
analysis-prompt debug: v1.9.1 -> v1.9.2
Deploying extraction-prompt v1.0.5 to debug
extraction-prompt debug: v1.0.4 -> v1.0.5
Deploying my-prompt v1.0.0 to debug
my-prompt debug: v1.1.0 -> v1.0.0
Deploying validation-config v1.4.0 to debug
validation-config debug: v1.4.0 already
 Environment debug now matches 2024-11-10T14:30:00Z" \
  "$(../recreate-environment.sh "2024-11-10T14:30:00Z" debug 2> /dev/null)"
live analysis-prompt debug v1.9.2
live extraction-prompt debug v1.0.5
live validation-config debug v1.4.0

section "Rollback Safety Checks"

cat > ../safe-rollback.sh << 'SCRIPT'
#!/bin/bash
# safe-rollback.sh

COMPONENT=$1
VERSION=$2
ENV=$3

echo "=
 Checking if rollback is safe..."

# 1. Check version exists
if ! edgit tag list $COMPONENT | grep -q "$VERSION"; then
  echo "L Version $VERSION doesn't exist"
  exit 1
fi

# 2. Check version was previously deployed
if ! edgit history $COMPONENT | grep -q "$VERSION"; then
  echo "  Warning: $VERSION was never deployed to $ENV before"
  read -p "Continue anyway? (y/n) " -n 1 -r
  echo
  if [[ ! $REPLY =~ ^[Yy]$ ]]; then
    exit 1
  fi
fi

# 3. Check current version
CURRENT=$(edgit deploy get $COMPONENT --from $ENV)
echo "Current version: $CURRENT"
echo "Rolling back to: $VERSION"

read -p "Confirm rollback? (y/n) " -n 1 -r
echo
if [[ ! $REPLY =~ ^[Yy]$ ]]; then
  exit 1
fi

# 4. Do rollback
edgit deploy set $COMPONENT $VERSION --to $ENV
git push --tags

echo " Rolled back $COMPONENT to $VERSION in $ENV"
SCRIPT
chmod +x ../safe-rollback.sh
# answered ANSWERS COMMAND…: with the answers on its standard input, which no command in it may read.
answered() { printf '%s' "$1" | "${@:2}"; }
at 2024-11-12T17:00:00Z
is "a rollback that is confirmed" "=
 Checking if rollback is safe...
Current version: v1.0.0
Rolling back to: v0.9.0

my-prompt prod: v1.0.0 -> v0.9.0
 Rolled back my-prompt to v0.9.0 in prod" "$(answered y ../safe-rollback.sh my-prompt v0.9.0 prod 2> /dev/null)"
live my-prompt prod v0.9.0
my v1.2.0
fails 1 answered n ../safe-rollback.sh my-prompt v1.2.0 prod
live my-prompt prod v0.9.0
answered yy ../safe-rollback.sh my-prompt v1.2.0 prod > ../out 2> /dev/null
is "a version that was never live" "  Warning: v1.2.0 was never deployed to prod before" "$(grep Warning ../out)"
live my-prompt prod v1.2.0
fails 1 answered yy ../safe-rollback.sh my-prompt v7.7.7 prod
is "a version that is none" "L Version v7.7.7 doesn't exist" "$(tail -n 1 ../out)"
edgit deploy set my-prompt v1.0.0 --to prod

section "Troubleshooting"

is "git show of an environment" "Deploy my-prompt@v1.0.0 to prod" \
  "$(git show components/my-prompt/prod | sed -n '/^Deploy/p')"
is "and the version's tag" "tag components/my-prompt/v1.0.0" "$(git show components/my-prompt/prod | grep '^tag.*/v')"
# What CI/CD does.
edgit publish
is "the edge" "v1.0.0" "$(curl https://api.example.com/version | jq -r '.components["my-prompt"]')"
is "KV" '"v1.0.0"' \
  "$(wrangler kv:key get --namespace-id=$KV_ID "component-versions" | jq '.["my-prompt"].prod')"

is "tag list" "version   made                  by   live in
v999.0.0  2024-11-12T15:10:00Z  Ada
v1.8.0    2024-11-12T16:00:00Z  Ada  ab-test-b
v1.5.0    2024-11-12T16:00:00Z  Ada  ab-test-a
v1.2.0    2024-11-12T17:00:00Z  Ada
v1.1.0    2024-11-12T14:30:00Z  Ada  prod-asia, prod-eu
v1.0.0    2024-11-08T10:30:00Z  Ada  debug, prod, prod-drill, prod-us-west, staging
v0.9.0    2024-11-01T09:00:00Z  Ada" "$(edgit tag list my-prompt)"
commit=$(git rev-parse "components/my-prompt/v1.0.0^{commit}")
git tag --delete components/my-prompt/v1.0.0 > /dev/null
is "the commits of a file" "${commit:0:7} my-prompt v1.0.0" \
  "$(git log --all --oneline -- components/prompts/my-prompt.md | grep 'my-prompt v1.0.0$')"
git tag components/my-prompt/v1.0.0 "$commit"
edgit deploy set my-prompt v1.1.0 --to prod
edgit deploy set my-prompt v1.0.0 --to prod
live my-prompt prod v1.0.0

edgit history --date="2024-11-12T14:47:00Z" > /dev/null
version component-a components/prompts/component-a.md v1.0.0
version component-b components/prompts/component-b.md v2.0.0
edgit deploy set component-a v1.0.0 --to prod
edgit deploy set component-b v2.0.0 --to prod
live component-a prod v1.0.0
live component-b prod v2.0.0

section "and at the end git finds nothing wrong"

git fsck --no-dangling --no-progress
edgit status
echo "all of the page"
