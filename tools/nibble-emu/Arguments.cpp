// Kernel arguments of nibble-emu.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Arguments.h"

#include "exec/TensorMap.h"

#include "nibble/rt/dtype.h"

#include <cstdlib>
#include <cstring>

using namespace nibble;
using namespace nibble::emu;

std::string Arguments::put(const Code &code, const void *data, uint64_t bytes) {
  if (next >= code.params.size())
    return "the kernel has only " + std::to_string(code.params.size()) +
           " parameters";
  const ParamInfo &param = code.params[next];
  if (bytes != param.size)
    return "parameter " + std::to_string(next) + " (" + param.name + ") has " +
           std::to_string(param.size) + " bytes, not " + std::to_string(bytes);
  buffer.resize(code.paramBytes);
  std::memcpy(&buffer[param.offset], data, bytes);
  ++next;
  return "";
}

std::string Arguments::load(const std::string &path, const std::string &output,
                            void *&at) {
  rt::Result<rt::Array> array = rt::readNpy(path);
  if (!array.ok())
    return array.status().str();
  at = memory.allocate(array->data.size(), path);
  if (!at)
    return "no memory for " + path;
  std::memcpy(at, array->data.data(), array->data.size());
  if (!output.empty())
    outputs.push_back({output, *array, at});
  return "";
}

std::string Arguments::create(const std::string &path, const std::string &type,
                              const std::string &shape, void *&at) {
  rt::Array array;
  array.dtype = type;
  uint64_t count = 1;
  for (size_t from = 0; from <= shape.size();) {
    size_t end = std::min(shape.find('x', from), shape.size());
    char *stop = nullptr;
    uint64_t extent = std::strtoull(shape.c_str() + from, &stop, 10);
    if (stop != shape.c_str() + end || end == from ||
        extent > (1ull << 40) / count)
      return "has a malformed shape";
    array.shape.push_back(int64_t(extent));
    count *= std::max<uint64_t>(extent, 1);
    from = end + 1;
  }
  rt::StorageFormat format = rt::formatFromName(array.dtype);
  if (format == rt::StorageFormat::None)
    return "names the unknown type '" + array.dtype + "'";
  array.data.resize(rt::formatBytes(format, count));
  at = memory.allocate(array.data.size(), path);
  if (!at)
    return "needs more memory than there is";
  outputs.push_back({path, std::move(array), at});
  return "";
}

std::string Arguments::addInput(const Code &code, const std::string &path,
                                const std::string &output) {
  void *at = nullptr;
  std::string problem = load(path, output, at);
  return problem.empty() ? put(code, &at, sizeof at) : problem;
}

static std::vector<std::string> split(const std::string &text, char by) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == by)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

std::string Arguments::addOutput(const Code &code, const std::string &text) {
  std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 3)
    return "is not out=FILE:TYPE:4x8";
  void *at = nullptr;
  std::string problem = create(parts[0], parts[1], parts[2], at);
  return problem.empty() ? put(code, &at, sizeof at) : problem;
}

std::string Arguments::addScalar(const Code &code, const std::string &type,
                                 const std::string &value) {
  char *stop = nullptr;
  uint8_t bytes[8] = {};
  unsigned bits = unsigned(std::atoi(type.c_str() + 1));
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
    return "has the unknown type '" + type + "'";
  if (type[0] == 'f') {
    double x = std::strtod(value.c_str(), &stop);
    rt::StorageFormat format = rt::formatFromName(type);
    if (format == rt::StorageFormat::None || bits < 16)
      return "has the unknown type '" + type + "'";
    uint64_t code64 = rt::encode(format, x);
    std::memcpy(bytes, &code64, 8);
  } else {
    int64_t x = type[0] == 's'
                    ? std::strtoll(value.c_str(), &stop, 0)
                    : int64_t(std::strtoull(value.c_str(), &stop, 0));
    std::memcpy(bytes, &x, 8);
  }
  if (value.empty() || *stop)
    return "'" + value + "' is no number";
  return put(code, bytes, bits / 8);
}

/// Number of `word` in `words`, or -1.
static int indexOf(const std::string &word,
                   std::initializer_list<const char *> words) {
  int number = 0;
  for (const char *each : words) {
    if (word == each)
      return number;
    ++number;
  }
  return -1;
}

template <typename T>
static bool parseSizes(const std::string &text, T *sizes, size_t count) {
  std::vector<std::string> parts = split(text, 'x');
  if (count == 0)
    return text.empty();
  if (parts.size() != count)
    return false;
  for (size_t i = 0; i < count; ++i) {
    char *stop = nullptr;
    sizes[i] = T(std::strtoull(parts[i].c_str(), &stop, 10));
    if (parts[i].empty() || *stop)
      return false;
  }
  return true;
}

/// "steps=1x2", "fill=nan".
static bool parseOption(const std::string &text, TensorMap &map) {
  if (text == "fill=nan") {
    map.fill = 1;
    return true;
  }
  return text.substr(0, 6) == "steps=" &&
         parseSizes(text.substr(6), map.elementStrides, map.rank);
}

/// TYPE:SIZES:STRIDES:BOX:SWIZZLE from part `first` of a map on, then options.
/// "" or what is wrong.
static std::string parseMap(const std::vector<std::string> &all, size_t first,
                            TensorMap &map) {
  if (all.size() < first + 5)
    return "has too few parts";
  const std::string *parts = all.data() + first;
  map.mark = TensorMap::kMark;
  int type = indexOf(parts[0], {"u8", "u16", "u32", "s32", "u64", "s64", "f16",
                                "f32", "f64", "bf16", "f32.ftz", "tf32",
                                "tf32.ftz", "u4x16a8", "u4x16a16", "u6x16a16"});
  int swizzle = indexOf(parts[4], {"none", "32B", "64B", "128B", "128B.32",
                                   "128B.32.flip8", "128B.64"});
  map.rank = uint32_t(split(parts[1], 'x').size());
  if (type < 0 || swizzle < 0 || map.rank > 5 ||
      !parseSizes(parts[1], map.sizes, map.rank) ||
      !parseSizes(parts[2], map.strides, map.rank - 1) ||
      !parseSizes(parts[3], map.box, map.rank))
    return "has a malformed type, size, stride, box or swizzle";
  map.type = TensorType(type);
  map.swizzle = uint8_t(swizzle);
  for (uint8_t &stride : map.elementStrides)
    stride = 1;
  for (size_t i = first + 5; i < all.size(); ++i)
    if (!parseOption(all[i], map))
      return "has the unknown option '" + all[i] + "'";
  return "";
}

std::string Arguments::addMap(const Code &code, const std::string &text,
                              bool creates) {
  std::vector<std::string> parts = split(text, ':');
  TensorMap map;
  std::string problem = parseMap(parts, creates ? 3 : 1, map);
  if (!problem.empty())
    return problem + "; wanted FILE" + (creates ? ":TYPE:SHAPE" : "[,FILE]") +
           ":TYPE:SIZES:STRIDES:BOX:SWIZZLE";
  void *at = nullptr;
  size_t comma = std::min(parts[0].find(','), parts[0].size());
  problem =
      creates
          ? create(parts[0], parts[1], parts[2], at)
          : load(parts[0].substr(0, comma),
                 comma < parts[0].size() ? parts[0].substr(comma + 1) : "", at);
  if (!problem.empty())
    return problem;
  map.address = uint64_t(at);
  if (problem = checkTensorMap(map); !problem.empty())
    return problem;
  uint8_t bytes[128] = {};
  std::memcpy(bytes, &map, sizeof map);
  return put(code, bytes, sizeof bytes);
}

std::string Arguments::addBytes(const Code &code, const std::string &hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    char *stop = nullptr;
    std::string pair = hex.substr(i, 2);
    bytes.push_back(uint8_t(std::strtoul(pair.c_str(), &stop, 16)));
    if (*stop)
      return "'" + pair + "' is no hexadecimal byte";
  }
  if (hex.size() % 2)
    return "has half a byte";
  return put(code, bytes.data(), bytes.size());
}

std::string Arguments::add(const std::string &text, const Code &code) {
  size_t equals = text.find('=');
  std::string problem = "is not KIND=VALUE";
  if (equals != std::string::npos) {
    std::string kind = text.substr(0, equals), value = text.substr(equals + 1);
    size_t comma = value.find(',');
    if (kind == "in")
      problem = addInput(code, value, "");
    else if (kind == "inout" && comma != std::string::npos)
      problem = addInput(code, value.substr(0, comma), value.substr(comma + 1));
    else if (kind == "out")
      problem = addOutput(code, value);
    else if (kind == "map" || kind == "mapout")
      problem = addMap(code, value, kind == "mapout");
    else if (kind == "bytes")
      problem = addBytes(code, value);
    else if (kind.size() > 1 && strchr("usbf", kind[0]))
      problem = addScalar(code, kind, value);
    else
      problem = "'" + kind +
                "' is no kind of argument: in, out, inout, map, mapout, "
                "bytes, or a type";
  }
  return problem.empty() ? "" : "--arg " + text + ": " + problem;
}

std::string Arguments::finish(const Code &code) {
  buffer.resize(std::max<size_t>(code.paramBytes, 1));
  if (next == code.params.size())
    return "";
  return "kernel " + code.name + " has " + std::to_string(code.params.size()) +
         " parameters, " + std::to_string(next) + " --arg were given";
}

std::string Arguments::write() {
  for (Output &output : outputs) {
    std::memcpy(output.array.data.data(), output.from,
                output.array.data.size());
    rt::Status status = rt::writeNpy(output.path, output.array);
    if (!status.ok())
      return status.str();
  }
  return "";
}

bool nibble::emu::parseDim3(const std::string &text, Dim3 &dim) {
  uint32_t *parts[] = {&dim.x, &dim.y, &dim.z};
  const char *at = text.c_str();
  for (uint32_t *part : parts) {
    char *stop = nullptr;
    unsigned long value = std::strtoul(at, &stop, 10);
    if (stop == at || value == 0 || value > 0x7FFFFFFF)
      return false;
    *part = uint32_t(value);
    if (!*stop)
      return true;
    if (*stop != ',' && *stop != 'x')
      return false;
    at = stop + 1;
  }
  return false;
}
