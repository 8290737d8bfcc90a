// How a sparse weight is described in the header of a file.
#pragma once

#include "description.hpp"
#include "petrain/sparse.hpp"

namespace petrain {

nlohmann::json describe(const SparseTensor& w);

// The weight of the tensors below `name`, which it takes. std::invalid_argument where they do not fit.
SparseTensor sparse_tensor_from(const nlohmann::json& object, const std::string& name, Tensors& tensors);

// use(name, tensor) of all that is stored.
template <class Weight, class Use>
void for_each_part(Weight& w, Use&& use) {
  use("values", w.values);
  if (w.pattern.blocks()) {
    use("columns", w.columns);
    use("starts", w.starts);
  } else {
    use("positions", w.positions);
  }
  if (!w.scale.empty()) use("scale", w.scale);
}

}  // namespace petrain
