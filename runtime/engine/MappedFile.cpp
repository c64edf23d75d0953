// mmap of engine files.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MappedFile.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace nibble::rt;

MappedFile::~MappedFile() {
  if (bytes)
    ::munmap(const_cast<uint8_t *>(bytes), length);
}

/// Maps an open file descriptor, which the caller closes.
static Status mapDescriptor(int fd, const std::string &path,
                            const uint8_t *&bytes, uint64_t &length) {
  struct stat info;
  if (::fstat(fd, &info) != 0)
    return error(Code::Io, "cannot stat '%s': %s", path.c_str(),
                 std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return error(Code::Malformed, "'%s' is not a regular file", path.c_str());
  if (info.st_size == 0)
    return error(Code::Malformed, "'%s' is empty", path.c_str());
  void *address = ::mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED)
    return error(Code::Io, "cannot map '%s': %s", path.c_str(),
                 std::strerror(errno));
  bytes = static_cast<const uint8_t *>(address);
  length = info.st_size;
  return Status();
}

Status MappedFile::open(const std::string &path) {
  // Non-blocking: a pipe must be refused, not waited for.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return error(errno == ENOENT ? Code::NotFound : Code::Io,
                 "cannot open '%s': %s", path.c_str(), std::strerror(errno));
  Status status = mapDescriptor(fd, path, bytes, length);
  ::close(fd);
  return status;
}

void MappedFile::willNeed() const {
  if (bytes)
    (void)::madvise(const_cast<uint8_t *>(bytes), length, MADV_WILLNEED);
}
