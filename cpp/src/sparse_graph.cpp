#include "sparse_graph.hpp"

#include <stdexcept>
#include <utility>

#include "quote.hpp"

namespace petrain {

using nlohmann::json;

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

SparseTensor sparse_tensor_from(const json& object, const std::string& name, Tensors& tensors) {
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
  for_each_part(w, [&](const std::string& part, Tensor& tensor) { tensor = take(tensors, name + "." + part); });
  if (w.values.dtype() == DType::i8) w.scale = take(tensors, name + ".scale");
  w.validate();
  return w;
}

}  // namespace petrain
