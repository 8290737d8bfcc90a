#include "petrain/model.hpp"

#include <map>
#include <utility>

#include "description.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "quote.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.model";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 16;  // of the JSON graph
constexpr std::size_t kMaxLayers = 100'000;

json describe(const Weight& weight) {
  json graph = {{"format", weight.format()}};
  if (const auto* pair = dynamic_cast<const LowRankWeight*>(&weight)) {
    graph["a"] = describe(*pair->a());
    graph["b"] = describe(*pair->b());
  }
  return graph;
}

json describe(const Layer& layer) {
  json graph = {{"type", layer.type()}};
  if (const auto* linear = dynamic_cast<const Linear*>(&layer)) {
    graph["weight"] = describe(*linear->weight());
    graph["bias"] = linear->has_bias();
  }
  return graph;
}

// Builds layers from a graph, taking every tensor of the file exactly once.
class Builder {
 public:
  explicit Builder(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}

  std::unique_ptr<Sequential> model(const json& graph) {
    require_version(graph, kVersion, "model");
    const json& given = member(graph, "layers", "the model");
    if (!given.is_array() || given.empty() || given.size() > kMaxLayers) {
      fail("expected a list of 1 to " + std::to_string(kMaxLayers) + " layers, got " + given.type_name() + " of " +
           std::to_string(given.size()));
    }
    std::vector<std::shared_ptr<Layer>> layers;
    for (const json& entry : given) layers.push_back(layer(entry, std::to_string(layers.size())));
    if (!tensors_.empty()) fail("the tensor " + quote(tensors_.begin()->first) + " belongs to no layer");
    return std::make_unique<Sequential>(std::move(layers));
  }

 private:
  [[noreturn]] static void fail(const std::string& message) { throw std::invalid_argument(message); }

  Tensor take(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail("expected a tensor named \"" + name + "\"");
    Tensor tensor = std::move(found->second);
    tensors_.erase(found);
    return tensor;
  }

  std::shared_ptr<Layer> layer(const json& graph, const std::string& name) {
    const std::string type = text_member(graph, "type", "layer " + name);
    if (type == "relu") return std::make_shared<ReLU>();
    if (type != "linear") fail("layer " + name + ": expected type linear or relu, got " + quote(type));
    auto weights = weight(member(graph, "weight", "layer " + name), name + ".weight");
    const json& has_bias = member(graph, "bias", "layer " + name);
    if (!has_bias.is_boolean()) fail("layer " + name + ": expected true or false for \"bias\"");
    Tensor bias;
    if (has_bias.get<bool>()) bias = take(name + ".bias");
    return std::make_shared<Linear>(std::move(weights), std::move(bias));
  }

  std::shared_ptr<Weight> weight(const json& graph, const std::string& name) {
    const std::string format = text_member(graph, "format", name);
    if (format == "float32") return std::make_shared<DenseWeight>(take(name));
    if (format == "int8") {
      Tensor values = take(name + ".values");
      return std::make_shared<Int8Weight>(QuantTensor(std::move(values), take(name + ".scale")));
    }
    if (format == "low_rank") {
      auto a = weight(member(graph, "a", name), name + ".a");
      return std::make_shared<LowRankWeight>(std::move(a), weight(member(graph, "b", name), name + ".b"));
    }
    fail(name + ": expected format float32, int8 or low_rank, got " + quote(format));
  }

  std::map<std::string, Tensor> tensors_;
};

std::unique_ptr<Sequential> build(SafetensorsFile file) {
  const auto found = file.metadata.find(kKey);
  if (found == file.metadata.end()) {
    throw Error(std::string("not a petrain model: the file has no \"") + kKey + "\" in its metadata");
  }
  try {
    const json graph = parse_description(found->second, kMaxDepth);
    return Builder(std::move(file.tensors)).model(graph);
  } catch (const std::invalid_argument& error) {  // layers and weights check what they are made of
    throw Error(std::string("not a petrain model: ") + error.what());
  }
}

}  // namespace

void save_model(const Sequential& model, const std::string& path) {
  json graph = {{"version", kVersion}, {"layers", json::array()}};
  for (const auto& layer : model.layers()) graph["layers"].push_back(describe(*layer));
  std::map<std::string, ConstTensorView> tensors;
  for (const NamedTensor& tensor : model.tensors()) tensors[tensor.name] = std::as_const(*tensor.value).view();
  write_safetensors(path, {{kKey, graph.dump()}}, tensors);
}

std::unique_ptr<Sequential> load_model(const std::string& path) { return build(read_safetensors(path)); }

std::unique_ptr<Sequential> parse_model(std::span<const std::byte> bytes) { return build(parse_safetensors(bytes)); }

}  // namespace petrain
