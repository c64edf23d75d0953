# Files that several tests, perhaps running at once, share.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import fcntl
import hashlib
from contextlib import contextmanager
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[2] / "build" / "locks"  # not beside the files: some folders are inputs as a whole


@contextmanager
def locked(path):
    """Lets one process at a time make `path`. The system drops the lock of a process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    LOCKS.mkdir(parents=True, exist_ok=True)
    with open(LOCKS / hashlib.sha256(str(path.resolve()).encode()).hexdigest(), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fresh(path, write):
    """`path`, written by write(partial) unless it exists; sources newer than it are not tracked (delete to renew)."""
    if not path.exists():
        with locked(path):
            if not path.exists():  # another process may have written it while we waited
                partial = path.with_name("part-" + path.name)
                write(partial)
                partial.rename(path)
    return path
