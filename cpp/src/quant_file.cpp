#include "petrain/quant_file.hpp"

#include <stdexcept>
#include <utility>

#include "described_file.hpp"
#include "safetensors_format.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.quant";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;  // of the JSON

std::map<std::string, QuantTensor> read(SafetensorsFile file) {
  return read_described(
      std::move(file), kKey, kMaxDepth, "a file of quantized arrays", [](const json& description, Tensors tensors) {
        return items_from<QuantTensor>(description, kVersion, "array", std::move(tensors), quant_tensor_from);
      });
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
  write_safetensors(path, {{kKey, text_of(graph)}}, tensors);
}

std::map<std::string, QuantTensor> load_quant(const std::string& path) { return read(read_safetensors(path)); }

std::map<std::string, QuantTensor> parse_quant(std::span<const std::byte> bytes) {
  return read(parse_safetensors(bytes));
}

}  // namespace petrain
