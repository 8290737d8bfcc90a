#include <utility>

#include "digest.hpp"
#include "petrain/quant_conv.hpp"
#include "petrain/quant_linear.hpp"
#include "petrain/quant_rnn.hpp"

namespace petrain::digests {

// Every format with what is fused with a layer.
void quantized_layers(const Emit& emit) {
  constexpr std::int64_t kOutputs = 70, kInputs = 256;
  const std::pair<const char*, QuantSpec> kFormats[] = {
      {"int8", {}},
      {"int8 asymmetric", {.scheme = Scheme::asymmetric}},
      {"int8 group", {.granularity = Granularity::group, .group_size = 64}},
      {"int4", {.bits = 4}},
      {"int4 group", {.bits = 4, .granularity = Granularity::group, .group_size = 32}},
      {"int4 asymmetric group",
       {.bits = 4, .scheme = Scheme::asymmetric, .granularity = Granularity::group, .group_size = 128}}};
  for (const auto& [name, spec] : kFormats) {
    Random random(11);
    const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
      return random.floats(static_cast<std::size_t>(rows * columns), 1);
    };
    const auto layer_of = [&](std::int64_t rows, std::int64_t columns, const QuantSpec& format) {
      const std::vector<float> w = matrix(rows, columns);
      return QuantLinear(quantize({w.data(), DType::f32, {rows, columns}}, format));
    };
    const QuantLinear layer = layer_of(kOutputs, kInputs, spec), a = layer_of(kOutputs, 8, {}),
                      b = layer_of(8, kInputs, {});
    const std::vector<float> bias = matrix(1, kOutputs);
    Digest digest, weight_only;
    for (const std::int64_t rows : {1, 3, 65}) {
      const std::vector<float> x = matrix(rows, kInputs);
      const ConstTensorView input{x.data(), DType::f32, {rows, kInputs}};
      LinearOptions options{.bias = {bias.data(), DType::f32, {kOutputs}}};
      Tensor y(DType::f32, {rows, kOutputs}), codes(DType::i8, {rows, kOutputs});
      for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu, Activation::silu,
                                          Activation::tanh, Activation::sigmoid}) {
        options.activation = activation;
        layer.forward(input, y.view(), options);
        digest.add(std::as_const(y).view());
      }
      options = {
          .clip = Clip{-3, 3}, .output = QuantParams{0.02F, 5, Scheme::asymmetric}, .residual_a = &a, .residual_b = &b};
      layer.forward(input, codes.view(), options);
      digest.add(std::as_const(codes).view());
      options = {.input = QuantParams{0.01F, spec == QuantSpec{} ? -7 : 0, Scheme::asymmetric}};
      layer.forward(input, y.view(), options);
      digest.add(std::as_const(y).view());
      low_rank(input, a, b, y.view());
      digest.add(std::as_const(y).view());
      layer.forward(input, y.view(), {.weight_only = true, .residual_a = &a, .residual_b = &b});
      weight_only.add(std::as_const(y).view());
      low_rank(input, a, b, y.view(), {.weight_only = true});
      weight_only.add(std::as_const(y).view());
    }
    emit(std::string("quant/linear ") + name, digest);
    emit(std::string("quant/weight only ") + name, weight_only);
  }
}

void convolutions(const Emit& emit) {
  struct Case {
    const char* name;
    Shape x, w;
    std::int64_t groups;
    ConvWindow window;
  };
  const Case cases[] = {
      {"quant/conv2d", {2, 20, 17, 15}, {70, 20, 3, 3}, 1, {{2, 1}, {1, 1}}},
      {"quant/conv2d groups", {1, 24, 12, 13}, {36, 8, 3, 2}, 3, {{1, 1}, {2, 1}, {2, 1}}},
      {"quant/conv2d depthwise", {2, 35, 40, 133}, {70, 1, 3, 3}, 35, {{1, 2}, {1, 1}}},
      {"quant/conv1d", {2, 16, 300}, {20, 16, 5}, 1, {{1, 2}, {0, 4}, {1, 2}}},
  };
  for (const Case& c : cases) {
    const Shape &x_shape = c.x, &w_shape = c.w;
    Random random(11);
    Digest digest;
    const auto x = random.floats(static_cast<std::size_t>(element_count(x_shape)), 3);
    const auto w = random.floats(static_cast<std::size_t>(element_count(w_shape)));
    const auto bias = random.floats(static_cast<std::size_t>(w_shape[0]));
    const QuantConv conv(quantize({w.data(), DType::f32, w_shape}), c.groups);
    const auto add = [&](DType dtype, const LinearOptions& options) {
      Tensor y(dtype, conv.output_shape(x_shape, c.window));
      conv.forward({x.data(), DType::f32, x_shape}, y.view(), c.window, options);
      digest.add(std::as_const(y).view());
    };
    add(DType::f32, {});
    add(DType::f32, {.bias = {bias.data(), DType::f32, {w_shape[0]}}, .activation = Activation::silu});
    add(DType::i8, {.activation = Activation::relu,
                    .input = QuantParams{0.03F, 11, Scheme::asymmetric},
                    .output = QuantParams{0.2F, -90, Scheme::asymmetric}});
    emit(c.name, digest);
  }
}

void recurrent(const Emit& emit) {
  constexpr std::pair<QuantSpec, const char*> kFormats[] = {
      {{}, "int8"}, {{4, Scheme::asymmetric, Granularity::group, 0, 32}, "int4 asymmetric group"}};
  for (const auto& [cell, cell_name] : {std::pair{Cell::lstm, "lstm"}, {Cell::gru, "gru"}}) {
    for (const auto& [spec, spec_name] : kFormats) {
      Digest digest;
      Random random(9);
      const std::int64_t gates = cell == Cell::lstm ? 4 : 3, inputs = 96, hidden = 32;
      const auto layer = [&, c = cell, s = spec] {
        const std::vector<float> b_ih = random.floats(gates * hidden, 1), b_hh = random.floats(gates * hidden, 1);
        // In statements of their own: compilers differ in the order in which they evaluate arguments.
        QuantTensor w_ih = quantized(random, gates * hidden, inputs, s);
        QuantTensor w_hh = quantized(random, gates * hidden, hidden, s);
        return QuantRnn(c, std::move(w_ih), std::move(w_hh), {b_ih.data(), DType::f32, {gates * hidden}},
                        {b_hh.data(), DType::f32, {gates * hidden}});
      };
      const QuantRnn there = layer(), back = layer();
      for (const auto& [steps, batch] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {20, 1}, {9, 37}}) {
        const std::vector<float> x = random.floats(static_cast<std::size_t>(steps * batch * inputs), 3);
        std::vector<std::int64_t> lengths;
        for (std::int64_t i = 0; i < batch; ++i) lengths.push_back(steps - i % steps);
        const RnnResult result = bidirectional(there, back, {x.data(), DType::f32, {steps, batch, inputs}},
                                               {.lengths = {lengths.data(), DType::i64, {batch}}});
        digest.add(result.y.view());
        digest.add(result.h.view());
        if (cell == Cell::lstm) digest.add(result.c.view());
      }
      emit(std::string("quant/") + cell_name + " " + spec_name, digest);
    }
  }
}

}  // namespace petrain::digests
