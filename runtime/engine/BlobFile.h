// The growing file of an engine writer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_BLOBFILE_H
#define NIBBLE_RT_ENGINE_BLOBFILE_H

#include "nibble/rt/status.h"

#include <cstdint>
#include <string>

namespace nibble {
namespace rt {

/// A temporary file beside its final name; removed unless committed. Large
/// writes go straight to the operating system, small ones are collected.
class BlobFile {
public:
  BlobFile() = default;
  ~BlobFile();
  BlobFile(const BlobFile &) = delete;
  BlobFile &operator=(const BlobFile &) = delete;

  Status open(const std::string &path);
  bool isOpen() const { return fd >= 0; }
  Status append(const void *data, uint64_t size);
  /// Appends zeros up to the next multiple of `alignment`.
  Status pad(uint64_t alignment);
  /// Bytes appended so far.
  uint64_t size() const { return length; }
  /// Overwrites the start of the file, flushes and renames.
  Status commit(const void *header, uint64_t headerSize);

private:
  Status flush();
  Status writeFully(const void *data, uint64_t size);
  Status fail(const char *what) const;

  std::string finalPath, tempPath, buffer;
  int fd = -1;
  uint64_t length = 0;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_BLOBFILE_H
