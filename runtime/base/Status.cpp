// Status: failure with its chain of contexts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/status.h"

#include <cstdarg>
#include <cstdio>

using namespace nibble::rt;

const char *nibble::rt::codeName(Code code) {
  switch (code) {
  case Code::Ok:
    return "ok";
  case Code::InvalidArgument:
    return "invalid-argument";
  case Code::NotFound:
    return "not-found";
  case Code::Malformed:
    return "malformed";
  case Code::Unsupported:
    return "unsupported";
  case Code::Io:
    return "io";
  case Code::Device:
    return "device";
  case Code::OutOfMemory:
    return "out-of-memory";
  case Code::Mismatch:
    return "mismatch";
  case Code::Internal:
    return "internal";
  }
  return "unknown";
}

int nibble::rt::exitCode(Code code) {
  switch (code) {
  case Code::Ok:
    return 0;
  case Code::Mismatch:
    return 1;
  case Code::InvalidArgument:
  case Code::NotFound:
    return 2;
  case Code::Malformed:
  case Code::Unsupported:
  case Code::Io:
    return 4;
  case Code::Device:
  case Code::OutOfMemory:
  case Code::Internal:
    return 5;
  }
  return 5;
}

Status::Status(Code code, std::string message) {
  if (code != Code::Ok)
    rep = std::make_shared<Rep>(Rep{code, std::move(message), {}});
}

const std::string &Status::message() const {
  static const std::string none;
  return rep ? rep->message : none;
}

const std::vector<std::string> &Status::contexts() const {
  static const std::vector<std::string> none;
  return rep ? rep->contexts : none;
}

Status &&Status::withContext(std::string context) && {
  if (rep) {
    // Another copy may share the representation: never change it in place.
    rep = std::make_shared<Rep>(*rep);
    rep->contexts.push_back(std::move(context));
  }
  return std::move(*this);
}

std::string Status::str() const {
  if (!rep)
    return "ok";
  std::string text;
  for (auto it = rep->contexts.rbegin(); it != rep->contexts.rend(); ++it)
    text += *it + ": ";
  return text + rep->message;
}

Status nibble::rt::error(Code code, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int size = std::vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string text(size > 0 ? size : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return Status(code, std::move(text));
}
