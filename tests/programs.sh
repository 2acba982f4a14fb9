#!/bin/sh
# Programs that the tests judge by and that have no wheel: installed as root on Debian, named where they are missing.
set -eu
packages=""
for pair in mpv:mpv tsreport:tstools chromium:chromium npm:npm microsocks:microsocks tv_validate_file:xmltv-util \
  hdhomerun_config:hdhomerun-config haproxy:haproxy slowhttptest:slowhttptest systemd-analyze:systemd \
  systemd-socket-activate:systemd; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || packages="$packages ${pair##*:}"
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
else
  echo "Some tests will be skipped: install these packages to have them run:$packages"
fi
