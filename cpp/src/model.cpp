#include "petrain/model.hpp"

#include <map>
#include <utility>

#include "described_file.hpp"
#include "weight_graph.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kModelKey = "petrain.model";
constexpr const char* kWeightsKey = "petrain.weights";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 16;  // of the JSON graph
constexpr std::size_t kMaxLayers = 100'000;

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
  explicit Builder(Tensors tensors) : tensors_(std::move(tensors)) {}

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

  std::shared_ptr<Layer> layer(const json& graph, const std::string& name) {
    const std::string type = text_member(graph, "type", "layer " + name);
    if (type == "relu") return std::make_shared<ReLU>();
    if (type != "linear") fail("layer " + name + ": expected type linear or relu, got " + quote(type));
    auto weight = weight_from(member(graph, "weight", "layer " + name), name + ".weight", tensors_);
    const json& has_bias = member(graph, "bias", "layer " + name);
    if (!has_bias.is_boolean()) fail("layer " + name + ": expected true or false for \"bias\"");
    Tensor bias;
    if (has_bias.get<bool>()) bias = take(tensors_, name + ".bias");
    return std::make_shared<Linear>(std::move(weight), std::move(bias));
  }

  Tensors tensors_;
};

std::unique_ptr<Sequential> model_from(SafetensorsFile file) {
  return read_described(std::move(file), kModelKey, kMaxDepth, "a petrain model",
                        [](const json& graph, Tensors tensors) { return Builder(std::move(tensors)).model(graph); });
}

std::map<std::string, std::shared_ptr<Weight>> weights_from(SafetensorsFile file) {
  return read_described(
      std::move(file), kWeightsKey, kMaxDepth, "petrain weights", [](const json& graph, Tensors tensors) {
        return items_from<std::shared_ptr<Weight>>(graph, kVersion, "weight", std::move(tensors), weight_from);
      });
}

void write(const std::string& path, const char* key, const std::string& graph,
           const std::vector<NamedTensor>& tensors) {
  parse_description(graph, kMaxDepth);  // what could not be read again is not written
  std::map<std::string, ConstTensorView> views;
  for (const NamedTensor& tensor : tensors) {
    if (!views.emplace(tensor.name, std::as_const(*tensor.value).view()).second) {
      throw std::invalid_argument("expected different names for all tensors, got two " + quote(tensor.name));
    }
  }
  write_safetensors(path, {{key, graph}}, views);
}

}  // namespace

std::string model_graph(const Sequential& model) {
  json graph = {{"version", kVersion}, {"layers", json::array()}};
  for (const auto& layer : model.layers()) graph["layers"].push_back(describe(*layer));
  return graph.dump();
}

std::string weights_graph(const std::map<std::string, std::shared_ptr<Weight>>& weights) {
  json graph = {{"version", kVersion}, {"weights", json::object()}};
  for (const auto& [name, weight] : weights) {
    if (weight == nullptr) throw std::invalid_argument("weight " + quote(name) + ": expected one, got none");
    graph["weights"][name] = describe(*weight);
  }
  return text_of(graph);
}

std::string weight_graph(const Weight& weight) { return describe(weight).dump(); }

void save_model(const Sequential& model, const std::string& path) {
  if (model.layers().size() > kMaxLayers) {
    throw std::invalid_argument("model: expected at most " + std::to_string(kMaxLayers) + " layers, got " +
                                std::to_string(model.layers().size()));
  }
  write(path, kModelKey, model_graph(model), model.tensors());
}

std::unique_ptr<Sequential> load_model(const std::string& path) { return model_from(read_safetensors(path)); }

std::unique_ptr<Sequential> parse_model(std::span<const std::byte> bytes) {
  return model_from(parse_safetensors(bytes));
}

void save_weights(const std::map<std::string, std::shared_ptr<Weight>>& weights, const std::string& path) {
  const std::string graph = weights_graph(weights);
  std::vector<NamedTensor> tensors;
  for (const auto& [name, weight] : weights) weight->collect(name, tensors);
  write(path, kWeightsKey, graph, tensors);
}

std::map<std::string, std::shared_ptr<Weight>> load_weights(const std::string& path) {
  return weights_from(read_safetensors(path));
}

}  // namespace petrain
