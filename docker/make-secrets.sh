#!/usr/bin/env bash
# Make docker/secrets/ with new random secrets; what is there already stays.
# The folder is yours alone (0700). The files in it are readable by all, because compose mounts
# them as they are and the containers run as users that own nothing here.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}

mkdir -p "$folder"
chmod 0700 "$folder"

make() {
  local path=$folder/$1
  if [ ! -e "$path" ]; then
    printf %s "$2" >"$path"
    chmod 0444 "$path"
    echo "made $path" >&2
  fi
}

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }

make database-password "$(random 24)"
make jwt-secret "$(random 48)"
make fernet-key "$(random 32)"
make airflow-passwords.json "{\"steward\": \"$(random 12)\"}"
