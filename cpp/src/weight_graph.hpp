// How weights are described in the header of a file.
#pragma once

#include <memory>

#include "description.hpp"
#include "petrain/weight.hpp"

namespace petrain {

nlohmann::json describe(const Weight& weight);

// The weight of the tensors `name` or below it, which it takes. std::invalid_argument where they do not fit.
std::shared_ptr<Weight> weight_from(const nlohmann::json& graph, const std::string& name, Tensors& tensors);

}  // namespace petrain
