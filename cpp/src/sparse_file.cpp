#include <stdexcept>
#include <utility>

#include "description.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "petrain/sparse.hpp"
#include "quote.hpp"

namespace petrain {
namespace {

using nlohmann::json;

constexpr const char* kKey = "petrain.sparse";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;  // of the JSON

using Tensors = std::map<std::string, Tensor>;

json describe(const SparseTensor& w) {
  json object = {{"shape", w.shape}, {"group", w.pattern.group}};
  if (w.pattern.blocks()) {
    object["columns"] = w.pattern.columns;
  } else {
    object["n"] = w.pattern.n;
    object["m"] = w.pattern.m;
  }
  return object;
}

// The names and parts that a pattern has. Part: Tensor, or const Tensor.
template <class Weight, class Use>
void for_each_part(Weight& w, Use&& use) {
  use("values", w.values);
  if (w.pattern.blocks()) {
    use("columns", w.columns);
    use("starts", w.starts);
  } else {
    use("positions", w.positions);
  }
}

SparseTensor weight_from(const json& object, const std::string& name, Tensors& tensors) {
  const std::string where = "weight";
  SparseTensor w;
  const json& shape = member(object, "shape", where);
  if (!shape.is_array() || shape.size() != 2 || !shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) {
    throw std::invalid_argument("shape: expected two integers, got " + quote(shape.dump()));
  }
  w.shape = {shape[0].get<std::int64_t>(), shape[1].get<std::int64_t>()};
  w.pattern.group = integer_member(object, "group", where);
  if (object.contains("columns")) {
    w.pattern.columns = integer_member(object, "columns", where);
  } else {
    w.pattern.n = integer_member(object, "n", where);
    w.pattern.m = integer_member(object, "m", where);
    if (w.pattern.m == 0) throw std::invalid_argument("m: expected at least 2, got 0");
  }
  const auto take = [&](const std::string& part, Tensor& to) {
    const auto found = tensors.find(name + "." + part);
    if (found == tensors.end()) throw std::invalid_argument("expected a tensor named " + quote(name + "." + part));
    to = std::move(found->second);
    tensors.erase(found);
  };
  for_each_part(w, take);
  if (w.values.dtype() == DType::i8) take("scale", w.scale);
  w.validate();
  return w;
}

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
      weights.emplace(name, weight_from(format, name, tensors));
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
    weight->validate();
    formats[name] = describe(*weight);
    for_each_part(*weight,
                  [&](const std::string& part, const Tensor& tensor) { tensors[name + "." + part] = tensor.view(); });
    if (!weight->scale.empty()) tensors[name + ".scale"] = weight->scale.view();
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
