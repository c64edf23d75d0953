// From untrusted metadata to EngineInfo.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_VALIDATE_H
#define NIBBLE_RT_ENGINE_VALIDATE_H

#include "nibble/rt/engine.h"

namespace nibble {
namespace rt {

/// Hash of the records of all blobs; see EngineHeader::blobsHash.
uint64_t hashBlobRecords(const EngineInfo &info);

/// Verifies the FlatBuffer, then every index, range, size and name in it, and
/// fills `info` with views into `metadata` (8-byte aligned).
///
/// Nothing here trusts the file: sizes are compared without overflow, and work
/// and memory are bounded by the size of the metadata, even when parts of it
/// are referenced many times.
Status readMetadata(const uint8_t *metadata, uint64_t size, uint64_t blobsSize,
                    EngineInfo &info);

/// The recorded command line, if the metadata is sound enough to tell it; for
/// errors.
std::string_view findCommand(const uint8_t *metadata, uint64_t size);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_VALIDATE_H
