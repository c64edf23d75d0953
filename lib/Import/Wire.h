// Reader of the protobuf wire format over bytes that stay in place.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_WIRE_H
#define NIBBLE_LIB_IMPORT_WIRE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Endian.h"

#include <cstdint>
#include <string>

namespace nibble::onnx {

/// First problem found anywhere in a file, with its place.
struct WireError {
  std::string message;
  uint64_t offset = 0; ///< in bytes from the start of the file
  explicit operator bool() const { return !message.empty(); }
};

/// Walks the fields of one message. Payloads are returned as references into
/// the file. After an error every reader of the same file is at its end.
///
///   for (WireReader r(...); r.next();)
///     switch (r.field()) { case 1: name = r.bytes(); break; default: r.skip();
///     }
class WireReader {
public:
  WireReader(llvm::StringRef message, const char *fileStart, WireError &error)
      : pos(message.begin()), end(message.end()), fileStart(fileStart),
        error(error) {}

  /// Reads the next key; false at the end and after an error.
  bool next() {
    if (error || pos == end)
      return false;
    uint64_t key = readVarint();
    fieldNumber = key >> 3;
    wireType = key & 7;
    if (!error &&
        (fieldNumber == 0 || wireType == 3 || wireType == 4 || wireType > 5))
      fail("invalid field key");
    return !error;
  }
  uint64_t field() const { return fieldNumber; }

  int64_t varint() { return expect(0) ? int64_t(readVarint()) : 0; }
  float fixed32() {
    llvm::StringRef raw = expect(5) ? take(4) : llvm::StringRef();
    return raw.empty() ? 0
                       : llvm::bit_cast<float>(
                             llvm::support::endian::read32le(raw.data()));
  }
  llvm::StringRef bytes() { return expect(2) ? takeLengthDelimited() : ""; }
  WireReader message() { return {bytes(), fileStart, error}; }

  /// Payload of one occurrence of a repeated number: a packed run, or one
  /// number as it stands.
  llvm::StringRef numbers(unsigned unpackedWireType) {
    if (wireType == 2)
      return takeLengthDelimited();
    return expect(unpackedWireType) ? takeScalar() : "";
  }
  void skip() { wireType == 2 ? takeLengthDelimited() : takeScalar(); }
  bool atEnd() const { return pos == end || bool(error); }
  /// For packed runs of varints, without keys.
  uint64_t readVarint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (pos == end)
        return fail("number is cut off");
      uint8_t byte = *pos++;
      value |= uint64_t(byte & 127) << shift;
      if (!(byte & 128))
        return value;
    }
    return fail("number is longer than 64 bits");
  }
  uint64_t fail(const char *message) {
    if (!error) {
      error.message = message;
      error.offset = pos - fileStart;
    }
    pos = end;
    return 0;
  }

private:
  bool expect(unsigned type) {
    if (wireType == type)
      return true;
    fail("field has an unexpected wire type");
    return false;
  }
  llvm::StringRef take(uint64_t size) {
    if (size > uint64_t(end - pos)) {
      fail("field is longer than what is left of its message");
      return {};
    }
    llvm::StringRef result(pos, size);
    pos += size;
    return result;
  }
  llvm::StringRef takeLengthDelimited() {
    uint64_t size = readVarint();
    return error ? llvm::StringRef() : take(size);
  }
  llvm::StringRef takeScalar() {
    if (wireType == 1 || wireType == 5)
      return take(wireType == 1 ? 8 : 4);
    const char *start = pos;
    readVarint();
    return error ? llvm::StringRef() : llvm::StringRef(start, pos - start);
  }

  const char *pos, *end, *fileStart;
  WireError &error;
  uint64_t fieldNumber = 0;
  unsigned wireType = 0;
};

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_WIRE_H
