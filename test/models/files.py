# Files that several tests, perhaps running at once, share.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import fcntl
from contextlib import contextmanager


@contextmanager
def locked(path):
    """Holds the lock named after `path` (beside it), so that one process at a time makes it. The system drops the lock of a
    process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".lock-{path.name}"), "w") as lock:
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
