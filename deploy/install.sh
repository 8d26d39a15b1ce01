#!/bin/sh
# Puts one newswire broker on a Debian or Ubuntu machine with systemd, upgrades it, removes it. Run as root, as often as you like:
# what is there already is left as it is.
#
#   deploy/install.sh install --id ID --advertise HOST:PORT [--peer HOST:PORT]... [--primary] [OPTIONS]
#   deploy/install.sh upgrade [--package WHAT] [--wheels FOLDER] [--wait SECONDS] [--force]
#   deploy/install.sh remove [--purge]
#
#   --id ID                     this broker's id, another one for every broker        [1001]
#   --advertise HOST:PORT       how others reach it                                   [this machine's first address and --port]
#   --peer HOST:PORT            another broker; repeatable
#   --primary                   clients try this one first
#   --host, --port              where it listens                                      [0.0.0.0, 5053]
#   --auth required|none        whether everybody is asked who he is                  [required]
#   --allow-host, --trusted-proxy   as `newswire broker` has them; repeatable
#   --secret-file FILE          the cluster secret; without it one is made
#   --admin-password-file FILE  the first admin's password; without it the primary makes one (--auth required)
#   --package WHAT              what pip installs: a folder, a wheel, an archive, newswire==1.2.3   [the source around this script]
#   --wheels FOLDER             all that is installed lies there; no package index is asked
#   --no-start                  install only
#   --wait SECONDS              how long an upgraded broker may take until it is ready and has all   [120]
#   --force                     upgrade though another broker is down, or this one is
#   --purge                     remove settings, secrets and all messages too
#
# What it makes: the user `newswire`; /opt/newswire/releases/<digest>, a virtual environment each, and /opt/newswire/bin, a link to that
# of the one in use; /usr/local/bin/newswire; /etc/newswire (settings, and secrets with mode 0600); the unit newswire.service. Messages are
# in /var/lib/newswire. Exit codes: 0 done, 1 not done, 2 wrong arguments.
set -eu
umask 022

HOME_FOLDER=/opt/newswire
SETTINGS=/etc/newswire
STATE=/var/lib/newswire
UNIT=/etc/systemd/system/newswire.service
COMMAND=/usr/local/bin/newswire
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
source_tree=$(dirname -- "$here")

say() { printf '%s\n' "$*"; }
fail() { # STATUS WORDS
    status=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    exit "$status"
}
usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
has_systemd() { [ -d /run/systemd/system ]; }

# -- arguments ----------------------------------------------------------------------------------------------------

action=${1:-}
[ $# -eq 0 ] || shift
id=1001 advertise='' peers='' primary=false host=0.0.0.0 port=5053 auth=required hosts='' proxies=''
secret_file='' admin_file='' package=$source_tree wheels='' start=true wait_seconds=120 force=false purge=false

listed() { # LIST ITEM: with the item behind it, as TOML has it
    if [ -n "$1" ]; then printf '%s, "%s"' "$1" "$2"; else printf '"%s"' "$2"; fi
}

while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
    --primary) primary=true && continue ;;
    --no-start) start=false && continue ;;
    --force) force=true && continue ;;
    --purge) purge=true && continue ;;
    --help | -h) usage && exit 0 ;;
    --id | --advertise | --peer | --host | --port | --auth | --allow-host | --trusted-proxy | --secret-file | --admin-password-file | --package | --wheels | --wait) ;;
    *) fail 2 "there is no option $option (--help lists them)" ;;
    esac
    [ $# -gt 0 ] || fail 2 "$option needs a value"
    case $1 in *[\"\\]* | *'
'*) fail 2 "$option: quotation marks, backslashes and line breaks cannot be in $1" ;; esac
    case $option in
    --id) id=$1 ;;
    --advertise) advertise=$1 ;;
    --peer) peers=$(listed "$peers" "$1") ;;
    --host) host=$1 ;;
    --port) port=$1 ;;
    --auth) auth=$1 ;;
    --allow-host) hosts=$(listed "$hosts" "$1") ;;
    --trusted-proxy) proxies=$(listed "$proxies" "$1") ;;
    --secret-file) secret_file=$1 ;;
    --admin-password-file) admin_file=$1 ;;
    --package) package=$1 ;;
    --wheels) wheels=$1 ;;
    --wait) wait_seconds=$1 ;;
    esac
    shift
done
case $action in
install | upgrade | remove) ;;
--help | -h) usage && exit 0 ;;
*) fail 2 "say what to do: install, upgrade or remove (--help tells more)" ;;
esac
case $port in '' | *[!0-9]*) fail 2 "--port is a number, not $port" ;; esac
case $wait_seconds in '' | *[!0-9]*) fail 2 "--wait is a number of seconds, not $wait_seconds" ;; esac
case $auth in required | none) ;; *) fail 2 "--auth is required or none, not $auth" ;; esac
for file in "$secret_file" "$admin_file"; do
    [ -z "$file" ] || [ -s "$file" ] || fail 2 "$file is not there, or is empty"
done
[ "$(id -u)" -eq 0 ] || fail 1 "this has to be root: sudo $0 $action ..."

# -- a release ----------------------------------------------------------------------------------------------------

find_python() { # prints the first Python of 3.11 or later that can make a virtual environment
    for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

install_python() {
    command -v apt-get > /dev/null || fail 1 "Python 3.11 or later with its venv module is missing, and there is no apt-get to install it"
    say "Installing Python ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends python3 python3-venv > /dev/null
    find_python > /dev/null || apt-get -qq install -y --no-install-recommends python3.11 python3.11-venv > /dev/null
}

digest() { # of what pip is given: a release has this name
    if [ -d "$package" ]; then
        (cd "$package" && find pyproject.toml README.md LICENSE src deploy/constraints.txt -type f ! -name '*.pyc' ! -path '*.egg-info/*' \
            -exec sha256sum {} + | LC_ALL=C sort) | sha256sum
    elif [ -f "$package" ]; then
        sha256sum < "$package"
    else
        printf '%s' "$package" | sha256sum
    fi | cut -c1-16
}

make_release() { # prepares $release, a virtual environment, unless it is there and runs; whatever else runs meanwhile is not touched
    release=$HOME_FOLDER/releases/$(digest) made=false
    if [ -f "$release/complete" ] && "$release/bin/newswire" --version > /dev/null 2>&1; then
        return 0 # else the Python that it was made with has left with an upgrade of the system
    fi
    made=true
    python=$(find_python) || { install_python && python=$(find_python); } || fail 1 "there is no Python 3.11 or later here"
    say "Installing newswire into $release ..."
    rm -rf "$release"
    mkdir -p "$HOME_FOLDER/releases"
    "$python" -m venv "$release"
    work=$(mktemp -d)
    what=$package
    if [ -d "$package" ]; then # a build leaves files behind: in a copy
        cp -R "$package/pyproject.toml" "$package/README.md" "$package/LICENSE" "$package/src" "$work"
        what=$work
    fi
    set -- --quiet --disable-pip-version-check --no-input --constraint "$here/constraints.txt"
    [ -z "$wheels" ] || set -- "$@" --no-index --find-links "$wheels"
    if ! "$release/bin/pip" install "$@" "$what"; then
        rm -rf "$work" "$release"
        fail 1 "pip could not install $package (its message is above); nothing was changed"
    fi
    rm -rf "$work"
    "$release/bin/newswire" --version > "$release/complete.new"
    mv "$release/complete.new" "$release/complete"
}

in_use() { # prints the release that /opt/newswire/bin leads to, nothing if there is none
    link=$(readlink "$HOME_FOLDER/bin") || return 0
    printf '%s' "${link%/bin}"
}

use_release() { # RELEASE: /opt/newswire/bin leads to it from one moment to the next
    if [ "$(in_use)" != "$1" ]; then
        ln -sfn "$1/bin" "$HOME_FOLDER/bin.new"
        mv -T "$HOME_FOLDER/bin.new" "$HOME_FOLDER/bin"
    fi
    [ "$(readlink "$COMMAND")" = "$HOME_FOLDER/bin/newswire" ] || ln -sfn "$HOME_FOLDER/bin/newswire" "$COMMAND"
}

drop_old_releases() { # KEEP...: all others go
    for one in "$HOME_FOLDER"/releases/*; do
        kept=false
        for keep in "$@"; do [ "$one" != "$keep" ] || kept=true; done
        "$kept" || rm -rf "$one"
    done
}

# -- what stands around it ----------------------------------------------------------------------------------------

make_user() {
    getent passwd newswire > /dev/null ||
        useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin newswire
    [ -d "$STATE" ] || install -d -m 0700 -o newswire -g newswire "$STATE"
}

put_secret() { # NAME FILE WORDS: /etc/newswire/NAME, root's with mode 0600: a copy of FILE, else what is there, else a new one
    target=$SETTINGS/$1
    if [ -n "$2" ] && cmp -s "$2" "$target"; then
        return 0
    fi
    if [ -n "$2" ]; then
        (umask 077 && cat "$2" > "$target.new")
    elif [ ! -s "$target" ]; then
        (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$target.new")
        say "$3"
    else
        return 0
    fi
    mv "$target.new" "$target"
}

put_settings() {
    install -d -m 0755 "$SETTINGS"
    put_secret cluster-secret "$secret_file" "Made a cluster secret: $SETTINGS/cluster-secret. Each other broker needs the same."
    if [ "$auth" = required ] && { "$primary" || [ -n "$admin_file" ]; }; then
        put_secret admin-password "$admin_file" "Made a password for the user admin: $SETTINGS/admin-password."
    fi
    if [ -f "$SETTINGS/newswire.toml" ]; then
        say "$SETTINGS/newswire.toml stays as it is."
        return 0
    fi
    if [ -z "$advertise" ]; then
        address=$(hostname -I 2> /dev/null | cut -d' ' -f1)
        [ -n "$address" ] || fail 2 "this machine's address is not known: say --advertise HOST:PORT"
        advertise=$address:$port
    fi
    {
        say "# Every option of \`newswire broker --help\` may stand here under its own name; then: systemctl restart newswire"
        say "id = \"$id\""
        say "primary = $primary"
        say "host = \"$host\""
        say "port = $port"
        say "advertise = \"$advertise\" # how the other brokers and all clients reach this one"
        say "peer = [$peers]"
        say "auth = \"$auth\""
        [ "$auth" = required ] || say "insecure = true # everybody who reaches the port may publish and read: the network keeps others out"
        [ -z "$hosts" ] || say "allow-host = [$hosts]"
        [ -z "$proxies" ] || say "trusted-proxy = [$proxies]"
    } > "$SETTINGS/newswire.toml.new"
    chmod 0644 "$SETTINGS/newswire.toml.new"
    mv "$SETTINGS/newswire.toml.new" "$SETTINGS/newswire.toml"
}

put_unit() {
    install -d /etc/systemd/system "$UNIT.d"
    cmp -s "$here/newswire.service" "$UNIT" || install -m 0644 "$here/newswire.service" "$UNIT"
    if [ -s "$SETTINGS/admin-password" ]; then
        printf '%s\n' '[Service]' "LoadCredential=admin-password:$SETTINGS/admin-password" \
            'Environment=NEWSWIRE_ADMIN_PASSWORD_FILE=%d/admin-password' > "$UNIT.d/admin-password.conf"
    else
        rm -f "$UNIT.d/admin-password.conf"
    fi
    if has_systemd; then systemctl daemon-reload; fi
}

setting() { # NAME: its value in newswire.toml
    sed -n "s/^$1 *= *\"\{0,1\}\([^\"# ]*\).*/\1/p" "$SETTINGS/newswire.toml" | head -n 1
}

ready() { # WORD: 0 if the broker here is `ready`, or `whole`: ready, and each other broker is up and has all
    at=$(setting host)
    case $at in '' | 0.0.0.0 | ::) at=127.0.0.1 ;; esac
    "$HOME_FOLDER/bin/python" - "http://$at:$(setting port)/readyz" "$1" << 'PROGRAM'
import json, sys, urllib.request

try:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    facts = json.load(direct.open(sys.argv[1], timeout=5))
except (OSError, ValueError):
    sys.exit(1)
whole = facts["copies"] > len(facts["peers"])  # each other broker has all that is here; whoever is ready has all of theirs
sys.exit(0 if facts["ready"] and (whole or sys.argv[2] == "ready") else 1)
PROGRAM
}

wait_ready() { # WORD: 0 when it is so within --wait
    left=$wait_seconds
    until ready "$1"; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 1
    done
}

# -- what to do ---------------------------------------------------------------------------------------------------

do_install() {
    make_release
    before=$(in_use)
    make_user
    put_settings
    use_release "$release"
    put_unit
    drop_old_releases "$release" "$before"
    if ! has_systemd; then
        say "$(cat "$release/complete") is installed. There is no systemd here: it starts when this system has one (or start it yourself)."
        systemctl --quiet enable newswire.service 2> /dev/null || true
        return 0
    fi
    if "$start"; then
        systemctl --quiet enable newswire.service
        if [ -n "$before" ] && [ "$before" != "$release" ] && systemctl --quiet is-active newswire.service; then
            say "Another release runs: \`$0 upgrade\` goes over to this one with care. Doing that now."
            restart_into "$release" "$before"
        else
            systemctl start newswire.service
        fi
        wait_ready ready || fail 1 "the broker is not ready after $wait_seconds s: journalctl -u newswire tells why"
    fi
    next_step
}

next_step() {
    all=$(setting advertise)
    others=$(sed -n 's/^peer *= *\[\(.*\)\].*/\1/p' "$SETTINGS/newswire.toml" | tr -d '" ')
    say "$(cat "$release/complete") is installed: broker $(setting id) at $all."
    if [ -z "$others" ]; then
        say "Next: carry $SETTINGS/cluster-secret to the other machine as you carry passwords, and there:"
        say "  deploy/install.sh install --id 1002 --advertise ADDRESS:$port --peer $all --secret-file FILE"
    else
        say "Next: newswire status --brokers $all,$others"
    fi
    [ ! -s "$SETTINGS/admin-password" ] || say "The first admin's password: cat $SETTINGS/admin-password; then: newswire login admin --brokers $all"
}

restart_into() { # RELEASE BEFORE: over to it; back if it does not get ready
    use_release "$1"
    put_unit
    systemctl restart newswire.service
    if wait_ready whole; then
        drop_old_releases "$1" "$2"
        return 0
    fi
    if ready ready; then
        fail 1 "it runs and serves, but after $wait_seconds s it has not all that the others have, or one of them is down: newswire status"
    fi
    say "It is not ready after $wait_seconds s: back to the release before." >&2
    use_release "$2"
    systemctl restart newswire.service
    wait_ready ready || fail 1 "neither is the release before: journalctl -u newswire tells why"
    fail 1 "the release before runs again: journalctl -u newswire tells why the new one did not"
}

do_upgrade() {
    before=$(in_use)
    [ -n "$before" ] || fail 1 "nothing is installed here yet: $0 install"
    make_release
    if [ "$release" = "$before" ] && ! "$made"; then
        say "$(cat "$release/complete"): this release is in use already."
        return 0
    fi
    if ! has_systemd; then
        use_release "$release"
        put_unit
        drop_old_releases "$release" "$before"
        say "$(cat "$release/complete") is installed; whatever runs the broker here has to restart it."
        return 0
    fi
    # the others carry the service while this one restarts: all have to be there, with all that there is
    # (one that did not run any more, and was made anew, is not there to be asked)
    "$force" || [ "$release" = "$before" ] || ready whole ||
        fail 1 "this broker is not ready or another one is down or behind: newswire status; --force upgrades nevertheless"
    restart_into "$release" "$before"
    say "$(cat "$release/complete") runs, and has all that the others have: now the next machine."
}

do_remove() {
    if has_systemd; then
        systemctl --quiet disable --now newswire.service 2> /dev/null || true
    fi
    rm -rf "$UNIT" "$UNIT.d" /etc/systemd/system/multi-user.target.wants/newswire.service "$HOME_FOLDER"
    rm -f "$COMMAND"
    if has_systemd; then systemctl daemon-reload; fi
    if "$purge"; then
        rm -rf "$SETTINGS" "$STATE"
        if getent passwd newswire > /dev/null; then userdel newswire; fi
        say "Removed, with settings and messages."
    else
        say "Removed. Settings and secrets stay in $SETTINGS, messages in $STATE: --purge removes them too."
    fi
}

"do_$action"
