#!/bin/sh
# Sees that there is a Chromium for the tests of the demo page: Debian's, by apt-get, when we are root.
# Where that cannot be done it says so, loudly, and the tests that need a browser are skipped with a reason.
set -eu

if [ -n "${DEMO_CHROMIUM:-}" ]; then exit 0; fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium for the tests of the demo page ..."
    export DEBIAN_FRONTEND=noninteractive
    if apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null; then exit 0; fi
fi

cat >&2 <<'END'
************************************************************************
*  NO BROWSER. chromium was not found and could not be installed here. *
*  The demo page will NOT be tested. To test it: install chromium, or  *
*  set DEMO_CHROMIUM to the path of a Chromium or Chrome.              *
************************************************************************
END
