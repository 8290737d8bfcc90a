// The options of a layer on integers as Python gives them.
#pragma once

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "arrays.hpp"
#include "petrain/quant_linear.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {

using Params = std::optional<std::tuple<float, std::int32_t, std::string>>;  // scale, zero point, scheme

inline std::optional<QuantParams> params_from(const Params& params) {
  if (!params) return std::nullopt;
  const auto& [scale, zero_point, scheme] = *params;
  return QuantParams{scale, zero_point, scheme_from(scheme)};
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

  Tensor result(const Shape& shape) const {
    return Tensor::uninitialized(values.output ? DType::i8 : DType::f32, shape);
  }
};

}  // namespace petrain::python
