// TensorProto data in every spelling -> attributes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorLoader.h"
#include "Wire.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace nibble::onnx;
using llvm::StringRef;

/// Beyond these a file is damaged or hostile, and arithmetic on sizes could
/// overflow.
static constexpr size_t maxRank = 32;
static constexpr uint64_t maxElements = uint64_t(1) << 40;

bool nibble::onnx::countElements(ArrayRef<int64_t> dims, uint64_t &count,
                                 std::string &error) {
  count = 1;
  if (dims.size() > maxRank) {
    error = "has " + std::to_string(dims.size()) + " dimensions; at most " +
            std::to_string(maxRank) + " are supported";
    return false;
  }
  bool empty = llvm::is_contained(dims, 0);
  for (int64_t dim : dims) {
    if (dim < 0) {
      error = "dimension " + std::to_string(dim) + " is negative";
      return false;
    }
    if (!empty && count > maxElements / dim) {
      error = "shape has more elements than any memory holds";
      return false;
    }
    count *= empty ? 1 : dim;
  }
  count = empty ? 0 : count;
  return true;
}

//===----------------------------------------------------------------------===//
// Attributes from bytes
//===----------------------------------------------------------------------===//

/// One element per byte, as dense attributes keep sub-byte types.
static SmallVector<char> unpackNibbles(StringRef bytes, uint64_t count) {
  SmallVector<char> result(count);
  for (uint64_t i = 0; i < count; ++i)
    result[i] = (uint8_t(bytes[i / 2]) >> (4 * (i % 2))) & 15;
  return result;
}

static DenseElementsAttr makeDense(RankedTensorType type, ElemType elem,
                                   StringRef bytes) {
  ArrayRef<char> raw(bytes.data(), bytes.size());
  if (type.getNumElements() == 0)
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  if (elem == ElemType::Bool) {
    SmallVector<bool> values;
    for (char byte : bytes)
      values.push_back(byte != 0);
    return DenseElementsAttr::get(type, ArrayRef<bool>(values));
  }
  if (getBitWidth(elem) != 4)
    return DenseElementsAttr::getFromRawBuffer(type, raw);
  SmallVector<char> nibbles = unpackNibbles(bytes, type.getNumElements());
  if (isFloat(elem)) {
    SmallVector<APFloat> values;
    auto &semantics =
        cast<FloatType>(type.getElementType()).getFloatSemantics();
    for (char code : nibbles)
      values.emplace_back(semantics, APInt(4, code));
    return DenseElementsAttr::get(type, values);
  }
  SmallVector<APInt> values;
  for (char code : nibbles)
    values.emplace_back(4, code);
  return DenseElementsAttr::get(type, values);
}

/// True if all elements have the same bytes (whole bytes only).
static bool isSplat(StringRef bytes, ElemType elem) {
  size_t size = std::max(1u, getBitWidth(elem) / 8);
  return getBitWidth(elem) != 4 && bytes.size() > size &&
         bytes.drop_front(size) == bytes.drop_back(size);
}

static ElementsAttr makeResource(RankedTensorType type, StringRef bytes,
                                 StringRef name, SharedBuffer owner) {
  auto keepAlive = [owner](void *, size_t, size_t) mutable { owner.reset(); };
  // Payloads start anywhere in a file: readers must not assume alignment.
  AsmResourceBlob blob(ArrayRef<char>(bytes.data(), bytes.size()),
                       /*dataAlignment=*/1, std::move(keepAlive),
                       /*dataIsMutable=*/false);
  return DenseResourceElementsAttr::get(type, name.empty() ? "weight" : name,
                                        std::move(blob));
}

static bool hasOddBools(StringRef bytes) {
  return llvm::any_of(bytes, [](char c) { return c != 0 && c != 1; });
}

/// The same with bytes that nobody else owns.
static std::pair<StringRef, SharedBuffer> copyBytes(StringRef bytes,
                                                    bool asBools) {
  auto copy = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(bytes.size());
  for (size_t i = 0, e = bytes.size(); i < e; ++i)
    copy->getBufferStart()[i] = asBools ? bytes[i] != 0 : bytes[i];
  SharedBuffer owner(std::move(copy));
  return {owner->getBuffer(), owner};
}

/// Four 2-bit integers per byte, the first one in the low bits.
static std::string unpackPairsOfBits(StringRef bytes, ElemType elem,
                                     uint64_t count) {
  std::string result(count, '\0');
  for (uint64_t i = 0; i < count; ++i) {
    int code = uint8_t(bytes[i / 4]) >> (2 * (i % 4)) & 3;
    result[i] = char(isUnsigned(elem) || code < 2 ? code : code - 4);
  }
  return result;
}

ElementsAttr nibble::onnx::makeElements(MLIRContext *context, ElemType elem,
                                        ArrayRef<int64_t> shape,
                                        StringRef bytes, StringRef name,
                                        SharedBuffer owner) {
  if (ElemType held = getHeldType(elem); held != elem)
    return makeElements(
        context, held, shape,
        unpackPairsOfBits(bytes, elem, ShapedType::getNumElements(shape)), name,
        nullptr);
  auto type = RankedTensorType::get(shape, getMlirType(elem, context));
  if (bytes.size() <= maxInlineBytes)
    return makeDense(type, elem, bytes);
  if (isSplat(bytes, elem)) {
    StringRef one = bytes.take_front(std::max(1u, getBitWidth(elem) / 8));
    auto scalar = RankedTensorType::get({}, type.getElementType());
    return DenseElementsAttr::get(
        type, makeDense(scalar, elem, one).getSplatValue<Attribute>());
  }
  bool oddBools = elem == ElemType::Bool && hasOddBools(bytes);
  if (!owner || oddBools)
    std::tie(bytes, owner) = copyBytes(bytes, oddBools);
  return makeResource(type, bytes, name, std::move(owner));
}

ElementsAttr nibble::onnx::retype(ElementsAttr attr, ElemType elem,
                                  ArrayRef<int64_t> shape) {
  auto old = cast<RankedTensorType>(attr.getType());
  auto type =
      RankedTensorType::get(shape, getMlirType(elem, attr.getContext()));
  if (type == old)
    return attr;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr))
    return DenseResourceElementsAttr::get(type, resource.getRawHandle());
  auto dense = cast<DenseElementsAttr>(attr);
  if (type.getElementType() != old.getElementType())
    dense = dense.bitcast(type.getElementType());
  return dense.isSplat() ? dense.resizeSplat(type) : dense.reshape(type);
}

//===----------------------------------------------------------------------===//
// Data fields
//===----------------------------------------------------------------------===//

namespace {
/// Payload of a typed field: its name in messages, values per stored number.
struct TypedField {
  const char *name;
  const TensorProto::Chunks *chunks;
  unsigned fixedBytes; ///< 4 or 8 for floats, 0 for varints
};
} // namespace

/// The field in which the format keeps data of a type without raw_data.
static TypedField getTypedField(const TensorProto &tensor) {
  switch (tensor.type) {
  case ElemType::Float:
    return {"float_data", &tensor.floats, 4};
  case ElemType::Double:
    return {"double_data", &tensor.doubles, 8};
  case ElemType::Int64:
    return {"int64_data", &tensor.int64s, 0};
  case ElemType::UInt32:
  case ElemType::UInt64:
    return {"uint64_data", &tensor.uint64s, 0};
  default:
    return {"int32_data", &tensor.int32s, 0};
  }
}

static SharedBuffer concatenate(const TensorProto::Chunks &chunks) {
  std::string all;
  for (StringRef chunk : chunks)
    all += chunk;
  return SharedBuffer(llvm::MemoryBuffer::getMemBufferCopy(all));
}

/// Decodes varints into elements of `bytes` each; stops at `count` elements so
/// that a wrong count is seen without unbounded memory.
static bool decodeVarints(const TypedField &field, unsigned bytes,
                          uint64_t count, SharedBuffer &owner,
                          uint64_t &found) {
  auto buffer =
      llvm::WritableMemoryBuffer::getNewUninitMemBuffer(count * bytes);
  char *out = buffer->getBufferStart();
  WireError error;
  found = 0;
  for (StringRef chunk : *field.chunks) {
    for (WireReader r(chunk, chunk.begin(), error); !r.atEnd(); ++found) {
      uint64_t value = r.readVarint();
      if (found < count)
        memcpy(out + found * bytes, &value, bytes); // little endian
    }
  }
  owner = SharedBuffer(std::move(buffer));
  return !error;
}

static size_t countChunkBytes(const TensorProto::Chunks &chunks) {
  size_t total = 0;
  for (StringRef chunk : chunks)
    total += chunk.size();
  return total;
}

/// Bytes from a typed field. Sub-byte types stand packed, one byte's worth per
/// number.
static bool readTyped(const TensorProto &tensor, uint64_t count,
                      StringRef &bytes, SharedBuffer &owner,
                      std::string &error) {
  TypedField field = getTypedField(tensor);
  bool packed = getBitWidth(tensor.type) == 4 || getBitWidth(tensor.type) == 2;
  uint64_t numbers = packed ? getRawBytes(tensor.type, count) : count;
  uint64_t found = 0;
  if (field.fixedBytes) {
    found = countChunkBytes(*field.chunks) / field.fixedBytes;
    bool whole = countChunkBytes(*field.chunks) % field.fixedBytes == 0;
    if (found == numbers && whole) {
      if (field.chunks->size() != 1)
        owner = concatenate(*field.chunks);
      bytes = field.chunks->size() == 1 ? field.chunks->front()
                                        : owner->getBuffer();
      return true;
    }
  } else {
    // Each number takes at least one byte of the file, so a count beyond that
    // is refused before anything is allocated.
    uint64_t most = countChunkBytes(*field.chunks);
    unsigned size = std::max(1u, getBitWidth(tensor.type) / 8);
    if (numbers > most)
      found = most;
    else if (!decodeVarints(field, size, numbers, owner, found))
      error = std::string(field.name) + " is cut off";
    if (found == numbers && error.empty()) {
      bytes = owner->getBuffer();
      return true;
    }
  }
  if (error.empty())
    error = (Twine(field.name) + " holds " +
             (numbers > found ? "too few" : "too many") + " numbers; type " +
             getName(tensor.type) + " and shape need " + Twine(numbers))
                .str();
  return false;
}

/// What is wrong with where the data stand, or null. Of two places nobody can
/// say which one is meant.
static const char *getPlaceProblem(const TensorProto &tensor) {
  int places = !tensor.raw.empty();
  for (const TensorProto::Chunks *chunks :
       {&tensor.floats, &tensor.doubles, &tensor.int32s, &tensor.int64s,
        &tensor.uint64s})
    places += countChunkBytes(*chunks) != 0;
  if (places > 1)
    return "data stand in several fields of the tensor, which may disagree; "
           "keep one";
  if (tensor.location != 0 && tensor.location != 1)
    return "data_location is neither DEFAULT nor EXTERNAL; save the model with "
           "its data inside or in files beside it";
  if (tensor.location == 1 && places > 0)
    return "data stand both in the model and in an external file, which may "
           "disagree; keep one";
  if (tensor.location == 0 && !tensor.external.empty())
    return "external_data is given but data_location is not EXTERNAL; remove "
           "one or set the other";
  return nullptr;
}

bool TensorLoader::findBytes(const TensorProto &tensor, uint64_t count,
                             StringRef &bytes, SharedBuffer &owner,
                             std::string &error) {
  uint64_t expected = getRawBytes(tensor.type, count);
  owner = file;
  if (const char *problem = getPlaceProblem(tensor)) {
    error = problem;
    return false;
  }
  if (tensor.location == 1) {
    bytes = external.read(tensor, expected, owner, error);
    return error.empty();
  }
  if (!tensor.hasRaw)
    return readTyped(tensor, count, bytes, owner, error);
  bytes = tensor.raw;
  if (bytes.size() == expected)
    return true;
  error = ("raw_data holds " + Twine(bytes.size()) + " bytes but type " +
           getName(tensor.type) + " and shape need " + Twine(expected))
              .str();
  return false;
}

ElementsAttr TensorLoader::load(const TensorProto &tensor, std::string &error) {
  uint64_t count = 0;
  if (!getMlirType(tensor.type, context)) {
    error = "element type " + getName(tensor.type) + " is not supported";
    return {};
  }
  if (tensor.isSegment) {
    error = "data in segments are not supported; save the model in one piece";
    return {};
  }
  StringRef bytes;
  SharedBuffer owner;
  if (!countElements(tensor.dims, count, error) ||
      !findBytes(tensor, count, bytes, owner, error))
    return {};
  return makeElements(context, tensor.type, tensor.dims, bytes, tensor.name,
                      std::move(owner));
}
