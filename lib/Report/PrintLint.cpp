// Hazards as text and JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Lint.h"

using namespace nibble;
namespace json = llvm::json;

std::vector<Hazard> nibble::getHazards(const json::Value &report) {
  std::vector<Hazard> hazards;
  const json::Object &document = *report.getAsObject();
  for (const json::Value &value : *document.getArray("hazards")) {
    auto text = [&](llvm::StringRef key) {
      return value.getAsObject()->getString(key)->str();
    };
    hazards.push_back(
        {text("id"), text("layer"), text("op"), text("why"), text("fix")});
  }
  for (const json::Value &value : *document.getArray("layers")) {
    const json::Object &layer = *value.getAsObject();
    for (const json::Value &left : *layer.getArray("reformats_remaining")) {
      const json::Object &reformat = *left.getAsObject();
      hazards.push_back(
          {"runtime-reformat", layer.getString("name")->str(), "reformat",
           "moves " + std::to_string(*reformat.getInteger("bytes")) +
               " bytes from " + reformat.getString("from")->str() + " to " +
               reformat.getString("to")->str() + ": " +
               layer.getString("reason")->str(),
           "give its readers the same format, or quantize the input of the "
           "graph outside"});
    }
  }
  return hazards;
}

json::Value nibble::reportHazards(llvm::StringRef model,
                                  llvm::ArrayRef<Hazard> hazards) {
  json::Array list;
  json::Object counts;
  for (const Hazard &hazard : hazards) {
    list.push_back(json::Object{{"id", hazard.id},
                                {"layer", json::fixUTF8(hazard.layer)},
                                {"op", hazard.op},
                                {"why", json::fixUTF8(hazard.why)},
                                {"fix", hazard.fix}});
    counts[hazard.id] = counts.getInteger(hazard.id).value_or(0) + 1;
  }
  return json::Object{{"schema", "nibble.lint/1"},
                      {"file", json::fixUTF8(model)},
                      {"counts", std::move(counts)},
                      {"hazards", std::move(list)}};
}

void nibble::printHazards(llvm::ArrayRef<Hazard> hazards,
                          llvm::raw_ostream &os) {
  for (const Hazard &hazard : hazards)
    os << hazard.id << ": layer '" << hazard.layer << "' (" << hazard.op
       << "): " << hazard.why << "\n    fix: " << hazard.fix << "\n";
  os << hazards.size() << (hazards.size() == 1 ? " hazard\n" : " hazards\n");
}
