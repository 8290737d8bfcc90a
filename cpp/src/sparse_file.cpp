#include <stdexcept>
#include <utility>

#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "petrain/sparse.hpp"
#include "quote.hpp"
#include "sparse_graph.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.sparse";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;  // of the JSON

std::map<std::string, SparseTensor> weights_from(const std::string& description, Tensors tensors) {
  const json graph = parse_description(description, kMaxDepth);
  require_version(graph, kVersion, "description");
  const json& formats = member(graph, "weights", "the description");
  if (!formats.is_object()) {
    throw std::invalid_argument(std::string("weights: expected an object, got ") + formats.type_name());
  }
  std::map<std::string, SparseTensor> weights;
  for (const auto& [name, format] : formats.items()) {
    try {
      weights.emplace(name, sparse_tensor_from(format, name, tensors));
    } catch (const std::logic_error& error) {
      throw std::invalid_argument("weight " + quote(name) + ": " + error.what());
    }
  }
  if (!tensors.empty()) {
    throw std::invalid_argument("the tensor " + quote(tensors.begin()->first) + " belongs to no weight");
  }
  return weights;
}

std::map<std::string, SparseTensor> read(SafetensorsFile file) {
  const std::string refused = "not a file of sparse weights: ";
  const auto found = file.metadata.find(kKey);
  if (found == file.metadata.end()) throw Error(refused + "it has no \"" + kKey + "\" in its metadata");
  try {
    return weights_from(found->second, std::move(file.tensors));
  } catch (const std::logic_error& error) {  // the parts check each other
    throw Error(refused + error.what());
  }
}

}  // namespace

void save_sparse(const std::string& path, const std::map<std::string, const SparseTensor*>& weights) {
  json formats = json::object();
  std::map<std::string, ConstTensorView> tensors;
  for (const auto& [given, weight] : weights) {
    const std::string& name = given;
    if (weight == nullptr) throw std::invalid_argument("weight " + quote(name) + ": expected one, got none");
    weight->validate();
    formats[name] = describe(*weight);
    for_each_part(*weight,
                  [&](const std::string& part, const Tensor& tensor) { tensors[name + "." + part] = tensor.view(); });
  }
  const json graph = {{"version", kVersion}, {"weights", std::move(formats)}};
  std::string description;
  try {
    description = graph.dump();
  } catch (const json::type_error&) {
    throw std::invalid_argument("expected names in UTF-8");
  }
  write_safetensors(path, {{kKey, description}}, tensors);
}

std::map<std::string, SparseTensor> load_sparse(const std::string& path) { return read(read_safetensors(path)); }

std::map<std::string, SparseTensor> parse_sparse(std::span<const std::byte> bytes) {
  return read(parse_safetensors(bytes));
}

}  // namespace petrain
