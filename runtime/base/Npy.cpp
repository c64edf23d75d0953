// Reading and writing of .npy files.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/array.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

using namespace nibble::rt;

namespace {
/// The dictionary in the header.
struct NpyHeader {
  char order = '|'; ///< '<', '>' or '|'
  char kind = 0;    ///< 'f', 'i', 'u', 'b', 'V'
  unsigned bytes = 0;
  bool fortran = false;
  std::vector<int64_t> shape;
};

/// Reads the Python literal that numpy writes, and nothing more.
class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : text(text) {}
  /// Empty if all is well, else what is wrong.
  std::string parse(NpyHeader &header);

private:
  void skip() {
    while (!text.empty() && (text[0] == ' ' || text[0] == '\n'))
      text.remove_prefix(1);
  }
  bool take(char c) {
    skip();
    if (text.empty() || text[0] != c)
      return false;
    text.remove_prefix(1);
    return true;
  }
  bool takeWord(std::string_view word) {
    skip();
    if (text.substr(0, word.size()) != word)
      return false;
    text.remove_prefix(word.size());
    return true;
  }
  bool takeString(std::string_view &value);
  bool takeInteger(int64_t &value);
  std::string parseShape(std::vector<int64_t> &shape);
  std::string parseItem(std::string_view key, NpyHeader &header);

  std::string_view text;
};
} // namespace

bool HeaderParser::takeString(std::string_view &value) {
  skip();
  if (text.empty() || (text[0] != '\'' && text[0] != '"'))
    return false;
  size_t end = text.find(text[0], 1);
  if (end == std::string_view::npos)
    return false;
  value = text.substr(1, end - 1);
  text.remove_prefix(end + 1);
  return true;
}

bool HeaderParser::takeInteger(int64_t &value) {
  skip();
  size_t digits = 0;
  value = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    if (digits == 18)
      return false;
    value = value * 10 + (text[digits++] - '0');
  }
  text.remove_prefix(digits);
  return digits > 0;
}

std::string HeaderParser::parseShape(std::vector<int64_t> &shape) {
  if (!take('('))
    return "the shape is not a tuple";
  while (!take(')')) {
    int64_t extent = 0;
    if (!takeInteger(extent) || shape.size() >= 32)
      return "the shape is not a tuple of at most 32 sizes";
    shape.push_back(extent);
    if (!take(',') && !(text.size() && text[0] == ')'))
      return "the shape is not a tuple";
  }
  return "";
}

static std::string parseDescr(std::string_view descr, NpyHeader &header) {
  std::string shown(descr.substr(0, 40));
  if (descr.size() < 3 || descr.size() > 5 ||
      std::string_view("<>|=").find(descr[0]) == std::string_view::npos)
    return "type '" + shown + "' is not supported";
  header.order = descr[0] == '=' ? '<' : descr[0];
  header.kind = descr[1];
  for (char c : descr.substr(2)) {
    if (c < '0' || c > '9')
      return "type '" + shown + "' is not supported";
    header.bytes = header.bytes * 10 + (c - '0');
  }
  bool power = header.bytes == 1 || header.bytes == 2 || header.bytes == 4 ||
               header.bytes == 8;
  bool known =
      (header.kind == 'f' && power && header.bytes > 1) ||
      ((header.kind == 'i' || header.kind == 'u' || header.kind == 'V') &&
       power) ||
      (header.kind == 'b' && header.bytes == 1);
  return known ? "" : "type '" + shown + "' is not supported";
}

std::string HeaderParser::parseItem(std::string_view key, NpyHeader &header) {
  if (key == "descr") {
    std::string_view descr;
    if (!takeString(descr))
      return "structured types are not supported";
    return parseDescr(descr, header);
  }
  if (key == "fortran_order") {
    header.fortran = takeWord("True");
    return header.fortran || takeWord("False") ? ""
                                               : "fortran_order is no bool";
  }
  if (key == "shape")
    return parseShape(header.shape);
  return "unknown key '" + std::string(key.substr(0, 40)) + "'";
}

std::string HeaderParser::parse(NpyHeader &header) {
  unsigned seen = 0;
  if (!take('{'))
    return "the header is not a dictionary";
  while (!take('}')) {
    std::string_view key;
    if (!takeString(key) || !take(':'))
      return "the header is not a dictionary";
    std::string wrong = parseItem(key, header);
    if (!wrong.empty())
      return wrong;
    unsigned bit = key == "descr" ? 1 : key == "shape" ? 2 : 4;
    if (seen & bit)
      return "'" + std::string(key) + "' is given twice";
    seen |= bit;
    if (!take(',') && !(text.size() && text[0] == '}'))
      return "the header is not a dictionary";
  }
  return seen == 7 ? "" : "descr, fortran_order or shape is missing";
}

static const char *dtypeOf(const NpyHeader &h) {
  unsigned log = h.bytes == 1 ? 0 : h.bytes == 2 ? 1 : h.bytes == 4 ? 2 : 3;
  static const char *const floats[] = {"", "f16", "f32", "f64"};
  static const char *const ints[] = {"si8", "si16", "si32", "si64"};
  static const char *const uints[] = {"ui8", "ui16", "ui32", "ui64"};
  switch (h.kind) {
  case 'f':
    return floats[log];
  case 'i':
    return ints[log];
  case 'b':
    return "i1";
  default:
    return uints[log];
  }
}

static void swapBytes(std::vector<uint8_t> &data, unsigned bytes) {
  for (size_t i = 0; i + bytes <= data.size(); i += bytes)
    std::reverse(data.begin() + i, data.begin() + i + bytes);
}

/// Column-major to row-major.
static std::vector<uint8_t> toRowMajor(const std::vector<uint8_t> &data,
                                       const std::vector<int64_t> &shape,
                                       unsigned bytes) {
  std::vector<uint8_t> out(data.size());
  std::vector<int64_t> index(shape.size(), 0);
  std::vector<uint64_t> stride(shape.size(), bytes);
  for (size_t d = 1; d < shape.size(); ++d)
    stride[d] = stride[d - 1] * shape[d - 1];
  for (size_t at = 0; at < out.size(); at += bytes) {
    uint64_t from = 0;
    for (size_t d = 0; d < shape.size(); ++d)
      from += index[d] * stride[d];
    std::memcpy(&out[at], &data[from], bytes);
    for (size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];)
      index[d] = 0;
  }
  return out;
}

static Status badNpy(const std::string &name, const std::string &why) {
  return error(Code::Malformed, "'%s' is not a usable .npy file: %s",
               name.c_str(), why.c_str());
}

/// Finds the dictionary; empty view and a reason if there is none.
static std::string findHeader(const uint8_t *bytes, uint64_t size,
                              std::string_view &text, uint64_t &dataAt) {
  if (size < 10 || std::memcmp(bytes, "\x93NUMPY", 6) != 0)
    return "wanted \\x93NUMPY at the start";
  unsigned version = bytes[6];
  if (version < 1 || version > 3)
    return "format version " + std::to_string(version) + ", wanted 1 to 3";
  uint64_t length = bytes[8] | bytes[9] << 8;
  uint64_t begin = 10;
  if (version > 1) {
    if (size < 12)
      return "it is truncated";
    length |= uint64_t(bytes[10]) << 16 | uint64_t(bytes[11]) << 24;
    begin = 12;
  }
  if (length > size - begin || length > (uint64_t(1) << 20))
    return "the header of " + std::to_string(length) + " bytes does not fit";
  text = {reinterpret_cast<const char *>(bytes) + begin, size_t(length)};
  dataAt = begin + length;
  return "";
}

Result<Array> nibble::rt::parseNpy(const uint8_t *bytes, uint64_t size,
                                   const std::string &name) {
  std::string_view text;
  uint64_t dataAt = 0;
  std::string wrong = findHeader(bytes, size, text, dataAt);
  NpyHeader header;
  if (wrong.empty())
    wrong = HeaderParser(text).parse(header);
  if (!wrong.empty())
    return badNpy(name, wrong);
  Result<uint64_t> count =
      elementCount(header.shape.data(), header.shape.size());
  if (!count.ok())
    return badNpy(name, count.status().message());
  uint64_t found = size - dataAt;
  if (*count > found / header.bytes || *count * header.bytes != found)
    return badNpy(name, describe(dtypeOf(header), header.shape.data(),
                                 header.shape.size()) +
                            " does not fit " + std::to_string(found) +
                            " bytes of data");
  Array array;
  array.dtype = dtypeOf(header);
  array.shape = header.shape;
  array.data.assign(bytes + dataAt, bytes + size);
  if (header.order == '>' && header.bytes > 1)
    swapBytes(array.data, header.bytes);
  if (header.fortran && header.shape.size() > 1 && !array.data.empty())
    array.data = toRowMajor(array.data, header.shape, header.bytes);
  return array;
}

Result<Array> nibble::rt::readNpy(const std::string &path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in)
    return error(Code::NotFound, "cannot open '%s': %s", path.c_str(),
                 std::strerror(errno));
  std::streamoff size = in.tellg();
  if (size < 0)
    return error(Code::Io, "cannot read '%s'", path.c_str());
  std::vector<uint8_t> bytes(size);
  in.seekg(0);
  if (size && !in.read(reinterpret_cast<char *>(bytes.data()), size))
    return error(Code::Io, "cannot read '%s'", path.c_str());
  return parseNpy(bytes.data(), bytes.size(), path);
}

/// The numpy type that a type is written as.
static std::string descrOf(StorageFormat elem) {
  switch (elem) {
  case StorageFormat::F64:
    return "<f8";
  case StorageFormat::F32:
    return "<f4";
  case StorageFormat::F16:
    return "<f2";
  case StorageFormat::Bool:
    return "|b1";
  case StorageFormat::I4:
    return "|i1";
  case StorageFormat::BF16:
    return "<u2";
  default:
    break;
  }
  FormatKind kind = formatInfo(elem).kind;
  unsigned bytes = std::max(1u, formatBits(elem) / 8);
  return (bytes == 1 ? "|" : "<") +
         std::string(kind == FormatKind::Signed ? "i" : "u") +
         std::to_string(bytes);
}

/// One code per byte; si4 with its sign.
static std::vector<uint8_t> unpack(const Array &array, StorageFormat elem,
                                   uint64_t count) {
  std::vector<uint8_t> out(count);
  for (uint64_t i = 0; i < count; ++i) {
    uint8_t code = loadCode(elem, array.data.data(), i);
    out[i] = elem == StorageFormat::I4 && (code & 8) ? code | 0xf0 : code;
  }
  return out;
}

Result<std::string> nibble::rt::formatNpy(const Array &array) {
  Result<DType> type = parseDType(array.dtype);
  if (!type.ok())
    return type.status();
  Result<StorageLayout> layout =
      storageLayout(*type, array.shape.data(), array.shape.size());
  if (!layout.ok())
    return layout.status();
  if (array.data.size() < layout->total)
    return error(Code::InvalidArgument, "an array of %s has only %zu bytes",
                 array.dtype.c_str(), array.data.size());
  bool raw = type->isScaled();
  std::vector<int64_t> shape = array.shape;
  if (raw)
    shape = {int64_t(array.data.size())};
  std::string header = "{'descr': '" + (raw ? "|u1" : descrOf(type->elem)) +
                       "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i)
    header += std::to_string(shape[i]) + (i + 1 < shape.size() ? ", " : "");
  header += shape.size() == 1 ? ",), }" : "), }";
  // Data starts at a multiple of 64; the header ends with a newline. Ranks are
  // small, so that 16 bits always hold its length.
  size_t total = (10 + header.size() + 1 + 63) / 64 * 64;
  header.append(total - 10 - header.size() - 1, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += char(header.size() & 255);
  out += char(header.size() >> 8);
  out += header;
  if (!raw && formatBits(type->elem) == 4) {
    std::vector<uint8_t> codes =
        unpack(array, type->elem, *elementCount(shape.data(), shape.size()));
    out.append(codes.begin(), codes.end());
    return out;
  }
  out.append(array.data.begin(), array.data.end());
  return out;
}

Status nibble::rt::writeNpy(const std::string &path, const Array &array) {
  Result<std::string> text = formatNpy(array);
  if (!text.ok())
    return text.status();
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text->data(), text->size());
  out.close();
  if (!out)
    return error(Code::Io, "cannot write '%s': %s", path.c_str(),
                 std::strerror(errno));
  return Status();
}
