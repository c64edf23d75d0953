// How nibble-emu is told what to launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Launches.h"

#include "report/Limits.h"

#include <cstdlib>

using namespace nibble::emu;

bool nibble::emu::parseSeeds(const std::string &text, uint64_t &first,
                             uint64_t &last) {
  char *end = nullptr;
  if (text.empty() || text[0] == '-')
    return false;
  first = last = std::strtoull(text.c_str(), &end, 10);
  if (end == text.c_str())
    return false;
  if (!*end)
    return true;
  std::string rest = end;
  if (rest.compare(0, 2, "..") || rest.size() == 2 || rest[2] == '-')
    return false;
  last = std::strtoull(rest.c_str() + 2, &end, 10);
  return !*end && last >= first;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

namespace {

/// Turns a launch file into options. Throws what is wrong.
class LaunchReader {
public:
  LaunchReader(const std::string &path, Options &options) : options(options) {
    size_t slash = path.rfind('/');
    folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  }

  void read(const Json &launch) {
    for (const auto &[name, value] : launch.fields)
      readField(name, value);
    if (options.file.empty())
      throw std::string("has no field 'ptx'");
  }

private:
  void readField(const std::string &name, const Json &value) {
    if (name == "schema")
      return; // looked at before
    if (name == "ptx")
      options.file = pathOf(value, name);
    else if (name == "kernel")
      options.kernel = stringOf(value, name);
    else if (name == "grid")
      options.grid = join(value, name, ',');
    else if (name == "block")
      options.block = join(value, name, ',');
    else if (name == "cluster")
      options.cluster = join(value, name, ',');
    else if (name == "shared")
      options.shared =
          uint32_t(std::strtoul(numberOf(value, name).c_str(), nullptr, 10));
    else if (name == "seeds")
      options.seeds = stringOf(value, name);
    else if (name == "sums")
      options.sums = stringOf(value, name);
    else if (name == "check")
      options.withChecks.push_back(join(value, name, ','));
    else if (name == "no_check")
      options.withoutChecks.push_back(join(value, name, ','));
    else if (name == "args" && value.kind == Json::Kind::Array)
      for (const Json &each : value.items)
        options.arguments.push_back(argument(each));
    else
      throw "has the unknown field '" + name + "'";
  }

  static std::string stringOf(const Json &value, const std::string &name) {
    if (value.kind != Json::Kind::String)
      throw "field '" + name + "' is no string";
    return value.text;
  }
  static std::string numberOf(const Json &value, const std::string &name) {
    if (value.kind != Json::Kind::Number)
      throw "field '" + name + "' is no number";
    return value.text;
  }
  std::string pathOf(const Json &value, const std::string &name) const {
    std::string path = stringOf(value, name);
    return !path.empty() && path[0] == '/' ? path : folder + path;
  }
  static std::string join(const Json &list, const std::string &name, char by) {
    std::string text;
    if (list.kind != Json::Kind::Array)
      throw "field '" + name + "' is no list";
    for (const Json &item : list.items)
      text += (text.empty() ? "" : std::string(1, by)) + item.text;
    return text;
  }

  /// Takes a field out of an argument.
  static Json take(Json &object, const std::string &name) {
    auto found = object.fields.find(name);
    if (found == object.fields.end())
      throw "an argument lacks the field '" + name + "'";
    Json value = found->second;
    object.fields.erase(found);
    return value;
  }
  std::string shapeOf(Json &object) const {
    std::string type = stringOf(take(object, "dtype"), "dtype");
    return ":" + type + ":" + join(take(object, "shape"), "shape", 'x');
  }
  std::string mapOf(Json &object) const {
    std::string text = ":" + stringOf(take(object, "type"), "type");
    for (const char *name : {"sizes", "strides", "box"})
      text += ":" + join(take(object, name), name, 'x');
    text += ":" + stringOf(take(object, "swizzle"), "swizzle");
    if (object.find("steps"))
      text += ":steps=" + join(take(object, "steps"), "steps", 'x');
    if (object.find("fill"))
      text += ":fill=" + stringOf(take(object, "fill"), "fill");
    return text;
  }

  /// One argument, as --arg has it.
  std::string argument(Json object) const {
    std::string text;
    auto has = [&](const char *name) { return object.find(name) != nullptr; };
    auto path = [&](const char *name) {
      return pathOf(take(object, name), name);
    };
    if (has("mapout")) {
      text = "mapout=" + path("mapout");
      text += shapeOf(object) + mapOf(object);
    } else if (has("map")) {
      text = "map=" + path("map");
      if (has("to"))
        text += "," + path("to");
      text += mapOf(object);
    } else if (has("inout")) {
      text = "inout=" + path("inout");
      text += "," + path("to");
    } else if (has("in")) {
      text = "in=" + path("in");
    } else if (has("out")) {
      text = "out=" + path("out");
      text += shapeOf(object);
    } else if (!object.fields.empty()) {
      auto first = object.fields.begin();
      text = first->first + "=" + first->second.text;
      object.fields.erase(first);
    }
    if (!object.fields.empty() || text.empty())
      throw "an argument has the unknown field '" +
          (text.empty() ? "" : object.fields.begin()->first) + "'";
    return text;
  }

  Options &options;
  std::string folder;
};

} // namespace

std::string nibble::emu::readLaunch(const std::string &path, Options &options) {
  Json json;
  std::string problem = readJson(path, json);
  if (problem.empty())
    problem = checkSchema(json, "nibble.emu-launch/1", path);
  if (!problem.empty())
    return problem;
  try {
    LaunchReader(path, options).read(json);
  } catch (const std::string &what) {
    return path + ": " + what;
  }
  return "";
}
