#include "petrain/quant_file.hpp"

#include <stdexcept>
#include <utility>

#include "description.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "quote.hpp"
#include "safetensors_format.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.quant";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;  // of the JSON

std::map<std::string, QuantTensor> arrays_from(const std::string& description, Tensors tensors) {
  const json graph = parse_description(description, kMaxDepth);
  require_version(graph, kVersion, "description");
  const json& formats = member(graph, "arrays", "the description");
  if (!formats.is_object()) {
    throw std::invalid_argument(std::string("arrays: expected an object, got ") + formats.type_name());
  }
  std::map<std::string, QuantTensor> arrays;
  for (const auto& [name, format] : formats.items()) {
    try {
      arrays.emplace(name, quant_tensor_from(format, name, tensors));
    } catch (const std::logic_error& error) {
      throw std::invalid_argument("array " + quote(name) + ": " + error.what());
    }
  }
  if (!tensors.empty()) {
    throw std::invalid_argument("the tensor " + quote(tensors.begin()->first) + " belongs to no array");
  }
  return arrays;
}

std::map<std::string, QuantTensor> read(SafetensorsFile file) {
  const std::string refused = "not a file of quantized arrays: ";
  const auto found = file.metadata.find(kKey);
  if (found == file.metadata.end()) throw Error(refused + "it has no \"" + kKey + "\" in its metadata");
  try {
    return arrays_from(found->second, std::move(file.tensors));
  } catch (const std::logic_error& error) {  // the parts check each other
    throw Error(refused + error.what());
  }
}

}  // namespace

void save_quant(const std::string& path, const std::map<std::string, const QuantTensor*>& arrays) {
  json formats = json::object();
  std::map<std::string, ConstTensorView> tensors;
  for (const auto& [name, array] : arrays) {
    array->validate();
    if (array->shape.size() > kMostDimensions) {
      throw std::invalid_argument("array " + quote(name) + ": expected at most " + std::to_string(kMostDimensions) +
                                  " dimensions, got " + std::to_string(array->shape.size()));
    }
    formats[name] = describe(*array);
    tensors[name + ".values"] = array->values.view();
    tensors[name + ".scale"] = array->scale.view();
    if (array->spec.scheme == Scheme::asymmetric) tensors[name + ".zero_point"] = array->zero_point.view();
  }
  const json graph = {{"version", kVersion}, {"arrays", std::move(formats)}};
  std::string description;
  try {
    description = graph.dump();
  } catch (const json::type_error&) {
    throw std::invalid_argument("expected names in UTF-8");
  }
  write_safetensors(path, {{kKey, description}}, tensors);
}

std::map<std::string, QuantTensor> load_quant(const std::string& path) { return read(read_safetensors(path)); }

std::map<std::string, QuantTensor> parse_quant(std::span<const std::byte> bytes) {
  return read(parse_safetensors(bytes));
}

}  // namespace petrain
