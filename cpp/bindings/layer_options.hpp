// The options of a layer on integers as Python gives them.
#pragma once

#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain::python {

using Params = std::optional<std::pair<float, std::int32_t>>;  // scale, zero point

inline std::optional<QuantParams> params_from(const Params& params) {
  if (!params) return std::nullopt;
  return QuantParams{params->first, params->second};
}

inline Activation activation_from(const std::optional<std::string>& name) {
  constexpr std::pair<const char*, Activation> kNames[] = {{"relu", Activation::relu},
                                                           {"gelu", Activation::gelu},
                                                           {"silu", Activation::silu},
                                                           {"tanh", Activation::tanh},
                                                           {"sigmoid", Activation::sigmoid}};
  if (!name) return Activation::none;
  for (const auto& [known, activation] : kNames) {
    if (*name == known) return activation;
  }
  throw std::invalid_argument(
      "activation: expected \"relu\", \"gelu\", \"silu\", \"tanh\", \"sigmoid\" or None, got \"" + *name + "\"");
}

// Options that keep their arrays alive.
struct LayerOptions {
  LinearOptions values;
  ArrayRef bias;

  LayerOptions(const py::object& bias_array, const std::optional<std::string>& activation,
               const std::optional<std::pair<float, float>>& clip, const Params& input, const Params& output) {
    if (!bias_array.is_none()) {
      bias = borrow(bias_array, "bias", Access::read);
      values.bias = bias.view;
    }
    values.activation = activation_from(activation);
    if (clip) values.clip = Clip{clip->first, clip->second};
    values.input = params_from(input);
    values.output = params_from(output);
  }

  Tensor result(const Shape& x, std::int64_t outputs) const {
    Shape shape = x;
    if (shape.empty()) shape.push_back(0);  // refused by the layer, which says what it expects
    shape.back() = outputs;
    return {values.output ? DType::i8 : DType::f32, shape};
  }
};

}  // namespace petrain::python
