// Data files beside a model: paths, bounds, checksums.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorLoader.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA1.h"

using namespace nibble::onnx;
using llvm::StringRef;
using llvm::Twine;
namespace fs = llvm::sys::fs;
namespace path = llvm::sys::path;

/// What is wrong with a location by its spelling alone, or null.
static const char *getPathProblem(StringRef location) {
  if (location.empty())
    return "is empty";
  if (location.contains('\0'))
    return "contains a NUL character";
  if (location.starts_with("/") || location.starts_with("\\") ||
      (location.size() > 1 && location[1] == ':'))
    return "is absolute; it must be relative to the model's folder";
  if (location.contains('\\'))
    return "contains a backslash; write it with '/'";
  for (auto it = path::begin(location), e = path::end(location); it != e; ++it)
    if (*it == "..")
      return "leaves the model's folder through '..'";
  return nullptr;
}

/// True if the resolved path `file` lies below `folder`.
static bool isInside(StringRef file, StringRef folder) {
  return !folder.empty() && file.starts_with(folder) &&
         (folder.ends_with("/") || file.substr(folder.size()).starts_with("/"));
}

/// Resolves links, then demands that the file stays where it claims to be.
static bool resolve(StringRef location, StringRef directory,
                    StringRef realDirectory,
                    llvm::SmallVectorImpl<char> &result, std::string &error) {
  llvm::SmallString<256> joined(directory), folder;
  path::append(joined, location);
  if (std::error_code ec = fs::real_path(joined, result)) {
    error = ("external data file '" + joined + "' cannot be opened: " +
             ec.message() + "; put it into the model's folder")
                .str();
    return false;
  }
  fs::real_path(directory.empty() ? "." : directory, folder);
  StringRef real(result.data(), result.size());
  if (isInside(real, folder) || isInside(real, realDirectory))
    return true;
  error = ("external data location '" + location +
           "' is a link that leaves the model's folder; copy the file itself "
           "into the folder")
              .str();
  return false;
}

SharedBuffer ExternalFiles::open(StringRef location, std::string &error) {
  auto known = files.find(location);
  if (known != files.end())
    return known->second;
  if (const char *problem = getPathProblem(location)) {
    error = ("external data location '" + location + "' " + problem).str();
    return nullptr;
  }
  llvm::SmallString<256> real;
  if (!resolve(location, directory, realDirectory, real, error))
    return nullptr;
  auto refuse = [&](const Twine &why) {
    error = ("external data file '" + location + "' " + why).str();
    return nullptr;
  };
  // Opened once and judged by its descriptor, so that it cannot change between
  // the check and the use.
  auto fd = fs::openNativeFileForRead(real);
  if (!fd)
    return refuse("cannot be opened: " + llvm::toString(fd.takeError()));
  llvm::scope_exit closer([&] { fs::closeFile(*fd); });
  fs::file_status status;
  if (fs::status(*fd, status) || status.type() != fs::file_type::regular_file)
    return refuse("is not a regular file");
  if (status.getLinkCount() > 1)
    return refuse("has several hard links, so it may stand for a file outside "
                  "of the model's folder; copy it (cp) to a file of its own");
  auto buffer =
      llvm::MemoryBuffer::getOpenFile(*fd, real, status.getSize(),
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return refuse("cannot be mapped: " + buffer.getError().message());
  return files[location] = SharedBuffer(std::move(*buffer));
}

bool ExternalFiles::checkDigest(StringRef location, StringRef digest,
                                const SharedBuffer &buffer,
                                std::string &error) {
  std::string &actual = digests[location];
  if (actual.empty()) {
    llvm::SHA1 sha;
    sha.update(buffer->getBuffer());
    auto bytes = sha.final();
    actual = llvm::toHex(llvm::ArrayRef<uint8_t>(bytes), /*LowerCase=*/true);
  }
  if (digest.equals_insensitive(actual))
    return true;
  error = ("external data file '" + location + "' has SHA1 " + actual +
           " but the model wants " + digest +
           "; the file is damaged or belongs to another model")
              .str();
  return false;
}

static bool parseNumber(StringRef key, StringRef text, uint64_t &value,
                        std::string &error) {
  if (!text.getAsInteger(10, value))
    return true;
  error = ("external data " + key + " '" + text + "' is not a number of bytes")
              .str();
  return false;
}

namespace {
/// What the entries of a tensor say.
struct Extent {
  StringRef location, digest;
  uint64_t offset = 0, length = 0;
};
} // namespace

/// One entry, of a key that has not been seen yet.
static bool readEntry(StringRef key, StringRef value, Extent &extent,
                      std::string &error) {
  if (key == "location")
    extent.location = value;
  else if (key == "checksum")
    extent.digest = value;
  else if (key == "offset")
    return parseNumber(key, value, extent.offset, error);
  else if (key == "length")
    return parseNumber(key, value, extent.length, error);
  else if (key == "basepath" && !value.empty() && value != ".")
    error = ("external data key 'basepath' is '" + value +
             "', but data files are only read in the model's own folder; put "
             "them there and remove the key")
                .str();
  else if (key != "basepath")
    error = ("external data key '" + key +
             "' is not one that ONNX defines (location, offset, length, "
             "checksum, basepath), and it may change which bytes are meant; "
             "remove it if it does not")
                .str();
  return error.empty();
}

static bool readEntries(const TensorProto &tensor, Extent &extent,
                        std::string &error) {
  llvm::StringSet<> seen;
  for (auto [key, value] : tensor.external) {
    if (!seen.insert(key).second) {
      error = ("external data key '" + key +
               "' is given twice; keep one, so that there is one meaning")
                  .str();
      return false;
    }
    if (!readEntry(key, value, extent, error))
      return false;
  }
  return true;
}

StringRef ExternalFiles::read(const TensorProto &tensor, uint64_t expected,
                              SharedBuffer &owner, std::string &error) {
  Extent extent;
  extent.length = expected;
  if (!readEntries(tensor, extent, error))
    return {};
  auto [location, digest, offset, length] = extent;
  owner = open(location, error);
  if (!owner)
    return {};
  if (length != expected) {
    error = ("external data length is " + Twine(length) +
             " bytes but type and shape need " + Twine(expected))
                .str();
    return {};
  }
  uint64_t size = owner->getBufferSize();
  if (offset > size || length > size - offset) {
    error = ("external data file '" + location + "' has " + Twine(size) +
             " bytes but the tensor wants " + Twine(length) + " at offset " +
             Twine(offset) + "; the file is cut off or is not the model's")
                .str();
    return {};
  }
  if (!digest.empty() && !checkDigest(location, digest, owner, error))
    return {};
  return owner->getBuffer().substr(offset, length);
}
