#!/bin/sh
# Runs a training as a job of a Ray cluster, from any machine that reaches its dashboard.
#
#   export RAY_ADDRESS=http://127.0.0.1:8265 RAY_AUTH_MODE=token RAY_AUTH_TOKEN=...
#   deploy/submit.sh configs/quickstart.yaml rounds=200 logging.directory=/runs
#
# Only code and configurations travel; the nodes have the dependencies. PYTHON is the Python there.
set -eu
cd "$(dirname "$0")/.."
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
cp -R qmarl envs agents trainers configs "$package"
find "$package" -name __pycache__ -type d -prune -exec rm -rf {} +
config=$1
shift
ray job submit --working-dir "$package" -- \
  "${PYTHON:-python}" -m trainers.cli train "$config" executor.kind=ray executor.workers=auto "$@"
