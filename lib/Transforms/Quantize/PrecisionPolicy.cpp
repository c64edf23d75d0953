// PrecisionPolicy: parsing and look-up.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/PrecisionPolicy.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace nibble;
using llvm::StringRef;
using llvm::Twine;

static constexpr StringRef kKinds[] = {"linear",      "product", "attention",
                                       "convolution", "norm",    "embedding",
                                       "other"};

StringRef nibble::getSpelling(LayerKind kind) { return kKinds[int(kind)]; }

static bool isBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// The line without its comment; '#' within double quotes is text.
static StringRef stripComment(StringRef line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\')
      ++i;
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == '#' && !quoted && (i == 0 || isBlank(line[i - 1])))
      return line.take_front(i);
  }
  return line;
}

namespace {
/// One line of a policy file.
class LineParser {
public:
  LineParser(StringRef line, std::string where)
      : line(line), where(std::move(where)) {}

  llvm::Expected<PolicyRule> parse() {
    StringRef text = stripComment(line);
    size_t colon = text.rfind(':');
    if (colon == StringRef::npos)
      return fail(text.trim(), "no ':' between glob and format");
    StringRef glob = text.take_front(colon).trim(" \t\r");
    StringRef right = text.drop_front(colon + 1).rtrim(" \t\r");
    if (glob.size() > 1 && glob.front() == '"' && glob.back() == '"')
      glob = glob.drop_front().drop_back();
    if (glob.empty())
      return fail(text.take_front(colon + 1), "no glob before ':'");
    auto pattern = LayerGlob::create(glob);
    if (!pattern)
      return fail(glob, "bad glob '" + glob +
                            "': " + llvm::toString(pattern.takeError()));
    PolicyRule rule{std::move(*pattern), {}, {}, false, where};
    if (llvm::Error error = parseRight(right, rule))
      return std::move(error);
    return rule;
  }

private:
  llvm::Error fail(StringRef at, const Twine &what) {
    size_t column = at.data() ? at.data() - line.data() : 0;
    return llvm::createStringError(where + ":" + Twine(column + 1) + ": " +
                                   what);
  }

  /// Words of rules are taken out, the rest is a format.
  llvm::Error parseRight(StringRef right, PolicyRule &rule) {
    std::string format = right.str(); // same offsets, rule words blanked
    llvm::SmallVector<StringRef> words;
    llvm::SplitString(right, words, " \t");
    for (StringRef word : words) {
      StringRef kind = word;
      if (kind.consume_front("kind=")) {
        const auto *it = llvm::find(kKinds, kind);
        if (it == std::end(kKinds))
          return fail(word, "unknown kind '" + kind + "'" +
                                suggestName(kind, kKinds) + "; kinds are " +
                                llvm::join(llvm::ArrayRef(kKinds), ", "));
        rule.kind = LayerKind(it - kKinds);
      } else if (word == "optional") {
        rule.optional = true;
      } else {
        continue;
      }
      size_t offset = word.data() - right.data();
      format.replace(offset, word.size(), word.size(), ' ');
    }
    size_t column = 0;
    auto parsed = LayerFormat::parse(format, &column);
    if (!parsed)
      return fail(right.drop_front(std::min(column, right.size())),
                  llvm::toString(parsed.takeError()));
    rule.format = *parsed;
    return llvm::Error::success();
  }

  StringRef line;
  std::string where;
};
} // namespace

llvm::Expected<PrecisionPolicy> PrecisionPolicy::parse(StringRef text,
                                                       StringRef name) {
  PrecisionPolicy policy;
  llvm::Error errors = llvm::Error::success();
  unsigned number = 0;
  for (StringRef line : llvm::split(text, '\n')) {
    ++number;
    if (stripComment(line).trim(" \t\r").empty())
      continue;
    auto rule = LineParser(line, (name + ":" + Twine(number)).str()).parse();
    if (rule)
      policy.rules.push_back(std::move(*rule));
    else
      errors = llvm::joinErrors(std::move(errors), rule.takeError());
  }
  if (errors)
    return std::move(errors);
  if (policy.rules.empty())
    return llvm::createStringError(name + ": has no rules");
  return policy;
}

llvm::Expected<PrecisionPolicy> PrecisionPolicy::load(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return llvm::createStringError("cannot read policy '" + path +
                                   "': " + buffer.getError().message());
  return parse((*buffer)->getBuffer(), llvm::sys::path::filename(path));
}

void PrecisionPolicy::addDefault(const LayerFormat &format) {
  rules.push_back({llvm::cantFail(LayerGlob::create("*")), format,
                   LayerKind::Linear, /*optional=*/true, "--quantize"});
}

std::optional<size_t> PrecisionPolicy::find(StringRef layer,
                                            LayerKind kind) const {
  for (auto [i, rule] : llvm::enumerate(rules))
    if ((!rule.kind || *rule.kind == kind) && rule.glob.match(layer))
      return i;
  return std::nullopt;
}
