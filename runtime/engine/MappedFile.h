// A file mapped read-only.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_MAPPEDFILE_H
#define NIBBLE_RT_ENGINE_MAPPEDFILE_H

#include "nibble/rt/status.h"

#include <cstdint>

namespace nibble {
namespace rt {

/// Private read-only mapping of a whole regular file; unmapped when destroyed.
class MappedFile {
public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;

  /// Refuses folders, devices and empty files.
  Status open(const std::string &path);
  /// Tells the kernel to read ahead; never an error.
  void willNeed() const;

  const uint8_t *data() const { return bytes; }
  uint64_t size() const { return length; }

private:
  const uint8_t *bytes = nullptr;
  uint64_t length = 0;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_MAPPEDFILE_H
