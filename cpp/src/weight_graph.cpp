#include "weight_graph.hpp"

#include <utility>

#include "quote.hpp"
#include "sparse_graph.hpp"

namespace petrain {
namespace {

using nlohmann::json;

std::shared_ptr<QuantWeight> quantized_from(const json& graph, const std::string& name, Tensors& tensors) {
  auto weight = std::dynamic_pointer_cast<QuantWeight>(weight_from(graph, name, tensors));
  if (weight == nullptr) throw std::invalid_argument(name + ": expected format int8 or quantized");
  return weight;
}

}  // namespace

json describe(const Weight& weight) {
  json graph = {{"format", weight.format()}};
  const auto* integers = dynamic_cast<const QuantWeight*>(&weight);
  if (integers != nullptr && integers->values().spec != QuantSpec{}) graph.update(describe(integers->values()));
  if (const auto* sparse = dynamic_cast<const SparseWeight*>(&weight)) graph.update(describe(*sparse->values()));
  if (const auto* pair = dynamic_cast<const LowRankWeight*>(&weight)) {
    graph["a"] = describe(*pair->a());
    graph["b"] = describe(*pair->b());
  }
  if (const auto* sum = dynamic_cast<const ResidualWeight*>(&weight)) {
    graph["base"] = describe(*sum->base());
    graph["a"] = describe(*sum->a());
    graph["b"] = describe(*sum->b());
  }
  return graph;
}

std::shared_ptr<Weight> weight_from(const json& graph, const std::string& name, Tensors& tensors) {
  const std::string format = text_member(graph, "format", name);
  const auto part = [&](const char* key) -> const json& { return member(graph, key, name); };
  if (format == "float32") return std::make_shared<DenseWeight>(take(tensors, name));
  const auto integers = [](QuantTensor values) {
    return std::make_shared<QuantWeight>(std::make_shared<QuantTensor>(std::move(values)));
  };
  if (format == "int8") {
    Tensor values = take(tensors, name + ".values");
    return integers(QuantTensor(std::move(values), take(tensors, name + ".scale")));
  }
  if (format == "quantized") return integers(quant_tensor_from(graph, name, tensors));
  if (format == "low_rank") {
    auto a = weight_from(part("a"), name + ".a", tensors);
    return std::make_shared<LowRankWeight>(std::move(a), weight_from(part("b"), name + ".b", tensors));
  }
  if (format == "residual") {
    auto base = quantized_from(part("base"), name + ".base", tensors);
    auto a = quantized_from(part("a"), name + ".a", tensors);
    return std::make_shared<ResidualWeight>(std::move(base), std::move(a),
                                            quantized_from(part("b"), name + ".b", tensors));
  }
  if (format == "sparse") {
    return std::make_shared<SparseWeight>(std::make_shared<SparseTensor>(sparse_tensor_from(graph, name, tensors)));
  }
  throw std::invalid_argument(name + ": expected format float32, int8, quantized, low_rank, residual or sparse, got " +
                              quote(format));
}

}  // namespace petrain
