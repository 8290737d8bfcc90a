#include <stdexcept>
#include <utility>

#include "described_file.hpp"
#include "petrain/sparse.hpp"
#include "sparse_graph.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.sparse";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;  // of the JSON

std::map<std::string, SparseTensor> read(SafetensorsFile file) {
  return read_described(
      std::move(file), kKey, kMaxDepth, "a file of sparse weights", [](const json& description, Tensors tensors) {
        return items_from<SparseTensor>(description, kVersion, "weight", std::move(tensors), sparse_tensor_from);
      });
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
  write_safetensors(path, {{kKey, text_of(graph)}}, tensors);
}

std::map<std::string, SparseTensor> load_sparse(const std::string& path) { return read(read_safetensors(path)); }

std::map<std::string, SparseTensor> parse_sparse(std::span<const std::byte> bytes) {
  return read(parse_safetensors(bytes));
}

}  // namespace petrain
