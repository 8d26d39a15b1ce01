#!/bin/sh
# The first start of an instance of deploy/aws/newswire.yaml: its disk, its secrets, a broker, numbers for CloudWatch, and the word that it
# is ready. Its user data calls it with the settings in /etc/newswire/aws.env; as `boot.sh disk` and the like it does one step.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
export PATH="$PATH:/opt/awscli/bin"
# shellcheck source=/dev/null
. "${NEWSWIRE_AWS_ENV:-/etc/newswire/aws.env}"
export AWS_DEFAULT_REGION="$REGION"
MOUNT=/var/lib/newswire

mount_disk() { # the volume, formatted only if there is nothing on it, at /var/lib/newswire
    device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$(printf %s "$VOLUME" | tr -d -)
    left=600
    until [ -b "$device" ]; do # it is attached after the instance has started
        [ "$left" -gt 0 ] || { echo "$VOLUME was not attached within 600 s" >&2 && return 1; }
        left=$((left - 1))
        sleep 1
    done
    # blkid: 0 there is a file system, 2 there is nothing; whatever else it says, nothing is written
    status=0
    blkid -p "$device" > /dev/null || status=$?
    case $status in
    0) ;;
    2) mkfs.ext4 -q -L newswire "$device" ;;
    *) echo "what is on $device cannot be told (blkid: $status)" >&2 && return 1 ;;
    esac
    mkdir -p "$MOUNT"
    grep -q " $MOUNT " /etc/fstab || echo "LABEL=newswire $MOUNT ext4 defaults,nofail,x-systemd.device-timeout=60 0 2" >> /etc/fstab
    mountpoint -q "$MOUNT" || mount "$MOUNT"
    # without its disk a broker would begin anew on the root disk
    mkdir -p /etc/systemd/system/newswire.service.d
    printf '%s\n' '[Unit]' "RequiresMountsFor=$MOUNT" "AssertPathIsMountPoint=$MOUNT" > /etc/systemd/system/newswire.service.d/disk.conf
}

secret() { # ARN FILE
    (umask 077 && aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text > "$2")
}

public_name() { # ADDRESS: the name of a public address, which means the private one inside the VPC
    zone=$REGION.compute
    [ "$REGION" != us-east-1 ] || zone=compute-1
    printf 'ec2-%s.%s.amazonaws.com' "$(printf %s "$1" | tr . -)" "$zone"
}

install_broker() {
    work=$(mktemp -d /run/newswire-boot.XXXXXX)
    secret "$CLUSTER_SECRET" "$work/cluster-secret"
    own=$OWN_ADDRESS peer=$PEER_ADDRESS
    [ -z "$OWN_PUBLIC" ] || own=$(public_name "$OWN_PUBLIC") peer=$(public_name "$PEER_PUBLIC")
    set -- --id "$ID" --advertise "$own:5053" --peer "$peer:5053" --auth "$AUTH" --secret-file "$work/cluster-secret"
    [ -z "$PRIMARY" ] || set -- "$@" --primary
    if [ -n "$ADMIN_PASSWORD" ] && [ -n "$PRIMARY" ]; then
        secret "$ADMIN_PASSWORD" "$work/admin-password"
        set -- "$@" --admin-password-file "$work/admin-password"
    fi
    for name in "$(printf %s "$BALANCER" | tr '[:upper:]' '[:lower:]')" "$HOST_NAME"; do
        [ -z "$name" ] || set -- "$@" --allow-host "$name"
    done
    [ -z "$PROXIES" ] || set -- "$@" --trusted-proxy "$PROXIES"
    echo "NEWSWIRE_RETENTION_DAYS=$RETENTION_DAYS" > /etc/newswire/newswire.env
    sh "$here/../install.sh" install "$@"
    rm -rf "$work"
    install -m 0755 "$here/release.sh" /usr/local/sbin/newswire-release
}

watch() { # the journal and the numbers of the broker, once a minute
    [ -n "$LOG_GROUP" ] || return 0
    install -m 0644 "$here/newswire-watch.service" "$here/newswire-watch.timer" /etc/systemd/system/
    install -m 0755 "$here/watch.py" /usr/local/sbin/newswire-watch
    systemctl daemon-reload
    systemctl --quiet enable --now newswire-watch.timer
}

tell() {
    curl -sS --retry 5 -X PUT -H 'Content-Type:' "$READY_URL" \
        -d "{\"Status\":\"SUCCESS\",\"UniqueId\":\"$ID\",\"Reason\":\"ready\",\"Data\":\"$(/opt/newswire/bin/newswire --version)\"}"
}

for step in "${@:-all}"; do
    case $step in
    all) mount_disk && install_broker && watch && tell ;;
    disk) mount_disk ;;
    broker) install_broker ;;
    watch) watch ;;
    tell) tell ;;
    *) echo "boot.sh has no step $step" >&2 && exit 2 ;;
    esac
done
