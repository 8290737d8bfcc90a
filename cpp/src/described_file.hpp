// Files of tensors whose metadata says, as JSON under one key, what they are. What is wrong is a petrain::Error that
// says what the file is not.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "description.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "quote.hpp"

namespace petrain {

// make(description, tensors), which takes all of the tensors.
template <class Make>
auto read_described(SafetensorsFile file, const char* key, int max_depth, const std::string& what, Make make) {
  const std::string refused = "not " + what + ": ";
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) throw Error(refused + "it has no \"" + key + "\" in its metadata");
  try {
    return make(parse_description(found->second, max_depth), std::move(file.tensors));
  } catch (const std::logic_error& error) {  // the parts check each other
    throw Error(refused + error.what());
  }
}

// Those of an object {name: description} in the description, each by make(description, name, tensors).
template <class Item, class Make>
std::map<std::string, Item> items_from(const nlohmann::json& description, int version, const std::string& item,
                                       Tensors tensors, Make make) {
  require_version(description, version, "description");
  const std::string items = item + "s";
  const nlohmann::json& given = member(description, items.c_str(), "the description");
  if (!given.is_object()) throw std::invalid_argument(items + ": expected an object, got " + given.type_name());
  std::map<std::string, Item> result;
  for (const auto& [name, described] : given.items()) {
    try {
      result.emplace(name, make(described, name, tensors));
    } catch (const std::logic_error& error) {
      throw std::invalid_argument(item + " " + quote(name) + ": " + error.what());
    }
  }
  if (!tensors.empty()) {
    throw std::invalid_argument("the tensor " + quote(tensors.begin()->first) + " belongs to no " + item);
  }
  return result;
}

inline std::string text_of(const nlohmann::json& description) {
  try {
    return description.dump();
  } catch (const nlohmann::json::type_error&) {
    throw std::invalid_argument("expected names in UTF-8");
  }
}

}  // namespace petrain
