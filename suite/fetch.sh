#!/usr/bin/env bash
# Fetches the packages that SOURCES.md lists (Debian 12, "bookworm") and extracts their documents to data/docs/.
# Needs apt-get with an up-to-date package list, dpkg-deb, groff and Python 3. Nothing is installed.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p data/packages data/unpacked
# A security update may have replaced a version: `name=version` falls back to what the archive has now.
while read -r name version; do
    [ -d "data/unpacked/$name" ] && continue
    (cd data/packages && (apt-get download "$name=$version" || apt-get download "$name"))
    dpkg-deb -x data/packages/"$name"_*.deb "data/unpacked/$name"
done < packages.txt
python3 extract.py
