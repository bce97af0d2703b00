#!/usr/bin/env bash
# The one entry point of the image:
#     entrypoint.sh init                make the member's home if there is none, migrate Airflow
#     entrypoint.sh api-server|scheduler|dag-processor|triggerer …      one of Airflow's programs
#     entrypoint.sh zhixin …            the command line
# Secrets come as files (ZHIXIN_SECRETS, /run/secrets by default), never in compose.yaml:
# database-password, jwt-secret, fernet-key, airflow-passwords.json.
set -euo pipefail

secrets=${ZHIXIN_SECRETS:-/run/secrets}

fail() {
  echo "entrypoint: $1" >&2
  exit 2
}

secret() {
  local value
  value=$(cat "$secrets/$1" 2>/dev/null) || fail "the secret $1 can't be read in $secrets"
  [ -n "$value" ] || fail "the secret $1 is empty"
  printf %s "$value"
}

settings() {
  local password jwt fernet database
  password=$(secret database-password)
  jwt=$(secret jwt-secret)
  fernet=$(secret fernet-key)
  case $password in
    *[!A-Za-z0-9_-]*) fail "the secret database-password has characters that a URL would need escaped" ;;
  esac
  database="postgresql+psycopg://${ZHIXIN_DATABASE_USER:-airflow}:$password@${ZHIXIN_DATABASE:-postgresql:5432/airflow}"
  export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$database
  # psycopg serves both; Airflow would look for asyncpg, which is not in the image.
  export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=$database
  export AIRFLOW__API_AUTH__JWT_SECRET=$jwt
  export AIRFLOW__CORE__FERNET_KEY=$fernet
  # Airflow locks and may write this file, so it works on a copy of the secret.
  export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE="$AIRFLOW_HOME/passwords.json"
}

home() {
  local member=${ZHIXIN_MEMBER:?the member\'s name, such as bts.gov.example}
  if [ ! -e "$ZHIXIN_HOMES/$member/zhixin.toml" ]; then
    zhixin --home "$ZHIXIN_HOMES/$member" init "$member"
  fi
}

case ${1:-} in
  init)
    settings
    home
    exec airflow db migrate
    ;;
  api-server)
    settings
    umask 077
    secret airflow-passwords.json >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    exec airflow "$@"
    ;;
  scheduler | dag-processor | triggerer)
    settings
    exec airflow "$@"
    ;;
  zhixin)
    exec "$@"
    ;;
  *)
    fail "say init, api-server, scheduler, dag-processor, triggerer or zhixin, not '${1:-}'"
    ;;
esac
