// Streams an engine to disk under a temporary name.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BlobFile.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace nibble::rt;

static constexpr uint64_t kBufferBytes = 1 << 20;
/// Linux writes at most 2^31-4096 bytes at once.
static constexpr uint64_t kWriteBytes = 1 << 30;

BlobFile::~BlobFile() {
  if (fd >= 0) {
    ::close(fd);
    ::unlink(tempPath.c_str());
  }
}

Status BlobFile::fail(const char *what) const {
  return error(Code::Io, "cannot %s '%s': %s", what, tempPath.c_str(),
               std::strerror(errno));
}

Status BlobFile::open(const std::string &path) {
  if (fd >= 0)
    return error(Code::InvalidArgument, "already writing '%s'",
                 finalPath.c_str());
  finalPath = path;
  tempPath = path + ".tmp." + std::to_string(::getpid());
  // A file of this name can only be left from a crash of an earlier process
  // with the same id; it must not be followed if it is a link.
  ::unlink(tempPath.c_str());
  fd = ::open(tempPath.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return fd < 0 ? fail("create") : Status();
}

Status BlobFile::writeFully(const void *data, uint64_t size) {
  const char *at = static_cast<const char *>(data);
  while (size) {
    ssize_t done = ::write(fd, at, std::min(size, kWriteBytes));
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return fail("write");
    at += done;
    size -= done;
  }
  return Status();
}

Status BlobFile::flush() {
  Status status = writeFully(buffer.data(), buffer.size());
  buffer.clear();
  return status;
}

Status BlobFile::append(const void *data, uint64_t size) {
  length += size;
  if (buffer.size() + size > kBufferBytes)
    NIBBLE_RETURN_IF_ERROR(flush());
  if (size > kBufferBytes)
    return writeFully(data, size);
  if (size)
    buffer.append(static_cast<const char *>(data), size);
  return Status();
}

Status BlobFile::pad(uint64_t alignment) {
  static const char zeros[4096] = {};
  uint64_t missing = (alignment - length % alignment) % alignment;
  while (missing) {
    uint64_t part = std::min<uint64_t>(missing, sizeof(zeros));
    NIBBLE_RETURN_IF_ERROR(append(zeros, part));
    missing -= part;
  }
  return Status();
}

Status BlobFile::commit(const void *header, uint64_t headerSize) {
  NIBBLE_RETURN_IF_ERROR(flush());
  if (::pwrite(fd, header, headerSize, 0) != static_cast<ssize_t>(headerSize))
    return fail("write the header of");
  int closed = ::close(fd);
  fd = -1;
  if (closed != 0 || ::rename(tempPath.c_str(), finalPath.c_str()) != 0) {
    Status status = fail("finish");
    ::unlink(tempPath.c_str());
    return status;
  }
  return Status();
}
