#!/bin/sh
# newswire-release: installs the release that the stack names, on this machine (deploy/aws/newswire.yaml, Release). Run it on one
# machine after the other; it goes on only while the other broker has everything, and back if the new release does not get ready.
set -eu
export PATH="$PATH:/opt/awscli/bin"
# shellcheck source=/dev/null
. /etc/newswire/aws.env
export AWS_DEFAULT_REGION="$REGION"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
value=$(aws ssm get-parameter --name "$RELEASE" --query Parameter.Value --output text)
url=${value% *} digest=${value#* }
case $url in
s3://*) aws s3 cp --only-show-errors "$url" "$work/newswire.tar.gz" ;;
*) curl -fsSL --retry 5 -o "$work/newswire.tar.gz" "$url" ;;
esac
printf '%s  %s\n' "$digest" "$work/newswire.tar.gz" | sha256sum --quiet -c -
mkdir "$work/source"
tar -xzf "$work/newswire.tar.gz" -C "$work/source" --strip-components 1
sh "$work/source/deploy/install.sh" upgrade "$@"
rm -rf /opt/newswire/source
mv "$work/source" /opt/newswire/source
install -m 0755 /opt/newswire/source/deploy/aws/release.sh /usr/local/sbin/newswire-release
