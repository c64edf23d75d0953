// LayerFormat: names, defaults, parsing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/LayerFormat.h"

#include "nibble/rt/recipes.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace nibble;
using llvm::StringRef;
using llvm::Twine;

static constexpr StringRef kPrecisions[] = {"keep", "f32",   "f16",   "bf16",
                                            "fp8",  "nvfp4", "mxfp4", "mxfp8",
                                            "int4", "w4a8",  "w4a16"};
static constexpr StringRef kActivations[] = {"none", "fp8", "nvfp4", "mxfp4",
                                             "mxfp8"};
static constexpr StringRef kOptions[] = {"recipe", "block", "scales",
                                         "activations", "activation-recipe"};

StringRef nibble::getSpelling(Precision precision) {
  return kPrecisions[int(precision)];
}
StringRef nibble::getSpelling(ActivationFormat format) {
  return kActivations[int(format)];
}
llvm::ArrayRef<StringRef> nibble::getPrecisionNames() { return kPrecisions; }

template <typename Enum>
static std::optional<Enum> parseEnum(StringRef name,
                                     llvm::ArrayRef<StringRef> names) {
  const auto *it = llvm::find(names, name);
  if (it == names.end())
    return std::nullopt;
  return Enum(it - names.begin());
}

std::optional<Precision> nibble::parsePrecision(StringRef name) {
  return parseEnum<Precision>(name, kPrecisions);
}

std::string nibble::suggestName(StringRef got,
                                llvm::ArrayRef<StringRef> names) {
  unsigned best = std::max<size_t>(1, got.size() / 3) + 1;
  StringRef closest;
  for (StringRef name : names)
    if (unsigned distance = got.edit_distance(name, true, best);
        distance < best)
      best = distance, closest = name;
  return closest.empty() ? "" : (", did you mean '" + closest + "'?").str();
}

int64_t LayerFormat::getActivationBlock() const {
  switch (activations) {
  case ActivationFormat::None:
  case ActivationFormat::Fp8:
    return 0;
  case ActivationFormat::Nvfp4:
    return 16;
  case ActivationFormat::Mxfp4:
  case ActivationFormat::Mxfp8:
    break;
  }
  return 32;
}

//===----------------------------------------------------------------------===//
// Defaults
//===----------------------------------------------------------------------===//

/// Run-time quantization follows TensorRT, whose recipe is one for all formats.
static std::string getDefaultActivationRecipe(ActivationFormat format) {
  bool dynamic =
      format != ActivationFormat::None && format != ActivationFormat::Fp8;
  return dynamic ? "trt-dynamic" : "";
}

static bool hasNvfp4Weights(Precision precision) {
  return precision == Precision::Nvfp4 || precision == Precision::W4a8 ||
         precision == Precision::W4a16;
}
static bool hasMxWeights(Precision precision) {
  return precision == Precision::Mxfp4 || precision == Precision::Mxfp8;
}

LayerFormat LayerFormat::get(Precision precision) {
  LayerFormat format;
  format.precision = precision;
  if (format.isQuantized())
    format.recipe = hasNvfp4Weights(precision) ? "modelopt-torch" : "modelopt";
  switch (precision) {
  case Precision::Nvfp4:
    format.block = 16;
    format.activations = ActivationFormat::Nvfp4;
    break;
  case Precision::Mxfp4:
    format.block = 32;
    format.activations = ActivationFormat::Mxfp4;
    break;
  case Precision::Mxfp8:
    format.block = 32;
    format.activations = ActivationFormat::Mxfp8;
    break;
  case Precision::Fp8:
    format.activations = ActivationFormat::Fp8;
    break;
  case Precision::Int4:
    format.block = 128;
    break;
  case Precision::W4a8:
    format.block = 32;
    format.activations = ActivationFormat::Fp8;
    break;
  case Precision::W4a16:
    format.block = 16;
    break;
  default:
    break;
  }
  format.activationRecipe = getDefaultActivationRecipe(format.activations);
  return format;
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

/// Empty if the option was taken, else what is wrong with it.
static std::string setRecipe(LayerFormat &format, StringRef name) {
  std::string text = name.str();
  if (hasNvfp4Weights(format.precision)) {
    auto recipe =
        rt::parseNvfp4Recipe(text == "modelopt" ? "modelopt-torch" : text);
    if (!recipe)
      return "unknown recipe '" + text + "' for nvfp4 weights; recipes are " +
             "modelopt, " + rt::nvfp4RecipeNames();
    format.recipe = rt::recipeName(*recipe);
    return "";
  }
  if (hasMxWeights(format.precision)) {
    auto recipe = rt::parseMxRecipe(text);
    if (!recipe)
      return "unknown recipe '" + text + "' for " +
             getSpelling(format.precision).str() + " weights; recipes are " +
             rt::mxRecipeNames();
    format.recipe = rt::recipeName(*recipe);
    return "";
  }
  if (!format.isQuantized())
    return getSpelling(format.precision).str() + " has no recipe";
  if (text != "modelopt")
    return "unknown recipe '" + text + "' for " +
           getSpelling(format.precision).str() +
           " weights; the only one is modelopt";
  return "";
}

static std::string setBlock(LayerFormat &format, StringRef text) {
  int64_t block = 0;
  bool number = !text.getAsInteger(10, block);
  auto isOneOf = [&](std::initializer_list<int64_t> blocks) {
    return number && llvm::is_contained(blocks, block);
  };
  std::string blocks;
  if (hasNvfp4Weights(format.precision) && !isOneOf({16, 32}))
    blocks = "16 or 32";
  else if (hasMxWeights(format.precision) && !isOneOf({32}))
    blocks = "32";
  else if (format.precision == Precision::Int4 && !isOneOf({32, 64, 128, 256}))
    blocks = "32, 64, 128 or 256";
  else if (!format.block)
    return getSpelling(format.precision).str() + " has no blocks";
  if (!blocks.empty())
    return "block of " + getSpelling(format.precision).str() + " must be " +
           blocks + ", not '" + text.str() + "'";
  format.block = block;
  return "";
}

static std::string setScales(LayerFormat &format, StringRef text) {
  if (format.precision != Precision::Fp8)
    return "'scales' is an option of fp8 only";
  if (text != "tensor" && text != "channel")
    return "scales of fp8 must be 'tensor' or 'channel', not '" + text.str() +
           "'";
  format.perChannel = text == "channel";
  return "";
}

static std::string setActivations(LayerFormat &format, StringRef text) {
  auto parsed = parseEnum<ActivationFormat>(text, kActivations);
  if (!format.isQuantized())
    return getSpelling(format.precision).str() +
           " has no separate format of activations";
  if (!parsed)
    return "unknown format of activations '" + text.str() + "'; formats are " +
           llvm::join(llvm::ArrayRef(kActivations), ", ");
  format.activations = *parsed;
  format.activationRecipe = getDefaultActivationRecipe(*parsed);
  return "";
}

static std::string setActivationRecipe(LayerFormat &format, StringRef text) {
  if (format.activationRecipe.empty())
    return "activations '" + getSpelling(format.activations).str() +
           "' have no recipe; only nvfp4, mxfp4 and mxfp8 do";
  if (format.activations == ActivationFormat::Nvfp4) {
    auto recipe = rt::parseNvfp4Recipe(text.str());
    if (!recipe)
      return "unknown recipe '" + text.str() +
             "' for nvfp4 activations; recipes are " + rt::nvfp4RecipeNames();
    format.activationRecipe = rt::recipeName(*recipe);
    return "";
  }
  auto recipe = rt::parseMxRecipe(text.str());
  if (!recipe)
    return "unknown recipe '" + text.str() + "' for " +
           getSpelling(format.activations).str() +
           " activations; recipes are " + rt::mxRecipeNames();
  format.activationRecipe = rt::recipeName(*recipe);
  return "";
}

static std::string setOption(LayerFormat &format, StringRef word) {
  auto [name, value] = word.split('=');
  if (!word.contains('=') || value.empty())
    return "'" + word.str() + "' is not OPTION=VALUE";
  if (name == "recipe")
    return setRecipe(format, value);
  if (name == "block")
    return setBlock(format, value);
  if (name == "scales")
    return setScales(format, value);
  if (name == "activations")
    return setActivations(format, value);
  if (name == "activation-recipe")
    return setActivationRecipe(format, value);
  return "unknown option '" + name.str() + "'" + suggestName(name, kOptions) +
         "; options are " + llvm::join(llvm::ArrayRef(kOptions), ", ");
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

llvm::Expected<LayerFormat> LayerFormat::parse(StringRef text, size_t *column) {
  llvm::SmallVector<StringRef> words;
  llvm::SplitString(text, words, " \t");
  auto fail = [&](StringRef word, const Twine &what) {
    if (column)
      *column = word.data() ? word.data() - text.data() : 0;
    return llvm::createStringError(what);
  };
  if (words.empty())
    return fail(StringRef(), "no format given; formats are " +
                                 llvm::join(llvm::ArrayRef(kPrecisions), ", "));
  auto precision = parsePrecision(words[0]);
  if (!precision)
    return fail(words[0], "unknown format '" + words[0] + "'" +
                              suggestName(words[0], kPrecisions) +
                              "; formats are " +
                              llvm::join(llvm::ArrayRef(kPrecisions), ", "));
  LayerFormat format = get(*precision);
  llvm::SmallVector<StringRef> seen;
  for (StringRef word : llvm::ArrayRef(words).drop_front()) {
    StringRef name = word.split('=').first;
    if (llvm::is_contained(seen, name))
      return fail(word, "option '" + name + "' is given twice");
    seen.push_back(name);
    if (std::string error = setOption(format, word); !error.empty())
      return fail(word, error);
  }
  return format;
}

std::string LayerFormat::str() const {
  std::string text = getSpelling(precision).str();
  if (!isQuantized())
    return text;
  text += " recipe=" + recipe;
  if (block)
    text += " block=" + std::to_string(block);
  if (precision == Precision::Fp8)
    text += perChannel ? " scales=channel" : " scales=tensor";
  text += " activations=" + getSpelling(activations).str();
  if (!activationRecipe.empty())
    text += " activation-recipe=" + activationRecipe;
  return text;
}
