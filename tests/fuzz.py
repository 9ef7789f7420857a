"""Fuzz every reader of foreign files with atheris: python -m tests.fuzz --seconds 3600

Each format gets its share of the time in a process of its own, at most 3 GiB and 20 s a file. What
breaks a reader is left in the folder given by --findings, one file each, and the exit status is 1.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Fuzz the formats asked for, one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=3600, help="for all formats together")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--one", help=argparse.SUPPRESS)  # fuzz this one in this process
    options = parser.parse_args()
    if options.one:
        fuzz(options.one, options.seconds, options.findings)
    from tests.helpers.hostile_files import FORMATS

    names = options.formats or [one.name for one in FORMATS]
    options.findings.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        seconds = max(1, options.seconds // len(names))
        command = [sys.executable, "-m", "tests.fuzz", "--one", name]
        command += ["--seconds", str(seconds), "--findings", str(options.findings)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        last = [line for line in done.stderr.splitlines() if "DONE" in line or "Done" in line]
        print(f"{name}: {'; '.join(last[-2:]) if not done.returncode else 'FAILED'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-3000:], flush=True)
    return 1 if failed else 0


def fuzz(name: str, seconds: int, findings: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["mem3d", "memstore", "trimesh", "PIL", "scipy.io"]):
        from tests.helpers.hostile_files import FORMATS, attempt
    [one] = [one for one in FORMATS if one.name == name]
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(one.examples(folder)):
        (corpus / str(number)).write_bytes(data)
    settings = [
        f"-max_total_time={seconds}",
        "-rss_limit_mb=3072",
        "-timeout=20",
        f"-artifact_prefix={findings}/{name}-",
        "-max_len=65536",
        "-print_final_stats=0",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *settings], lambda data: attempt(one, data, folder))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
