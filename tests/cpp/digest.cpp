// The same bytes everywhere: every operator of the exact contract (docs/numerics.md) over fixed inputs, its results
// as one hash a line. With the name of a file, compares with it and exits 1 where they differ; without, prints.
//
// To add an operator: a function that feeds its results to a Digest, a line in kOperators, and
//   build/default/tests/cpp/digest > tests/cpp/digests.txt
#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "petrain/calibrate.hpp"
#include "petrain/cpu.hpp"
#include "petrain/nn.hpp"
#include "petrain/optim.hpp"
#include "petrain/qat.hpp"
#include "petrain/quant_conv.hpp"
#include "petrain/quant_embedding.hpp"
#include "petrain/quant_linear.hpp"
#include "petrain/quant_rnn.hpp"
#include "petrain/rounding.hpp"

using namespace petrain;

namespace {

// FNV-1a, 64 bits, over the bytes of numbers in little-endian order.
class Digest {
 public:
  template <class T>
  void add(std::span<const T> values) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (std::size_t i = 0; i < values.size_bytes(); ++i) hash_ = (hash_ ^ bytes[i]) * 0x100000001b3;
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(std::span<const T>(values));
  }
  void add(double value) { add(std::span<const double>(&value, 1)); }
  void add(const ConstTensorView& view) {
    add(std::span<const unsigned char>(view.as<unsigned char>(),
                                       static_cast<std::size_t>(view.size()) * dtype_size(view.dtype)));
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): integers alone, so that the inputs are the same everywhere too.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In (-1, 1), about one in 16 of them zero.
  std::vector<float> floats(std::size_t size, float scale = 1) {
    std::vector<float> values(size);
    for (float& value : values) {
      const std::uint64_t bits = next();
      value = bits % 16 == 0 ? 0 : scale * static_cast<float>(static_cast<std::int32_t>(bits >> 32)) * 0x1p-31f;
    }
    return values;
  }

 private:
  std::uint64_t state_;
};

constexpr std::size_t kSizes[] = {1, 7, 16, 67, 16385, 50000};

using Arrays = std::vector<std::vector<float>>;

Arrays arrays(Random& random, float scale) {
  Arrays result;
  for (const std::size_t size : kSizes) result.push_back(random.floats(size, scale));
  return result;
}

template <class View>
std::vector<View> views(Arrays& arrays) {
  std::vector<View> result;
  for (auto& array : arrays) {
    result.push_back({array.data(), DType::f32, {static_cast<std::int64_t>(array.size())}});
  }
  return result;
}

using Emit = std::function<void(const std::string& name, const Digest& digest)>;

// Every hyperparameter away from its default; what is a flag is set.
void change_hypers(Optimizer& optimizer) {
  for (const auto& [name, value] : optimizer.rule(0).hypers) {
    try {
      optimizer.set_hyper(0, name, value == 0 ? 0.05 : value * 0.75);
    } catch (const std::invalid_argument&) {
      optimizer.set_hyper(0, name, 1);
    }
  }
}

void update_rules(const Emit& emit) {
  for (const RuleInfo& rule : rules()) {
    if (rule.matrix) continue;  // of products; Adafactor, which needs none, is below
    for (const std::string variant : {"default", "changed", "clipped"}) {
      Random random(1);
      Arrays params = arrays(random, 1);
      Optimizer optimizer({{rule.name, {}, views<TensorView>(params)}});
      if (variant != "default") change_hypers(optimizer);
      Digest digest;
      for (int step = 0; step < 4; ++step) {
        Arrays grads = arrays(random, 0.1f);
        StepOptions options;
        if (variant == "clipped") options.max_norm = 0.3;
        digest.add(optimizer.step(views<ConstTensorView>(grads), options).grad_norm);
      }
      for (std::size_t i = 0; i < params.size(); ++i) {
        digest.add(params[i]);
        for (const auto& [name, view] : optimizer.state(i)) digest.add(view);
      }
      emit(rule.name + "/" + variant, digest);
    }
  }
}

void adafactor(const Emit& emit) {
  const std::vector<Shape> shapes = {{9}, {50, 70}, {3, 40, 5}, {300, 2500}};
  for (const std::string rule : {"adafactor", "adafactor_momentum"}) {
    for (const std::string variant : {"default", "changed"}) {
      Random random(6);
      Arrays params;
      std::vector<TensorView> param_views;
      for (const Shape& shape : shapes) {
        params.push_back(random.floats(static_cast<std::size_t>(element_count(shape)), 1));
        param_views.push_back({params.back().data(), DType::f32, shape});
      }
      Optimizer optimizer({{rule, {}, param_views}});
      if (variant != "default") change_hypers(optimizer);
      Digest digest;
      for (int step = 0; step < 3; ++step) {
        Arrays grads;
        std::vector<ConstTensorView> grad_views;
        for (const Shape& shape : shapes) {
          grads.push_back(random.floats(static_cast<std::size_t>(element_count(shape)), 0.1f));
          grad_views.push_back({grads.back().data(), DType::f32, shape});
        }
        digest.add(optimizer.step(grad_views, {.max_norm = 10}).grad_norm);
      }
      for (std::size_t i = 0; i < params.size(); ++i) {
        digest.add(params[i]);
        for (const auto& [name, view] : optimizer.state(i)) digest.add(view);
      }
      emit(rule + "/" + variant, digest);
    }
  }
}

// Numbers from a half to one, of either sign, of any float type, as bytes.
std::vector<unsigned char> numbers(Random& random, DType dtype, std::size_t size) {
  std::vector<unsigned char> bytes(size * dtype_size(dtype));
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t bits = random.next();
    const std::uint16_t half = static_cast<std::uint16_t>((bits & 0x83ff) | 0x3800);
    const std::uint16_t brain = static_cast<std::uint16_t>((bits & 0x807f) | 0x3f00);
    const double wide = (bits % 2 ? 1 : -1) * (0.5 + static_cast<double>(bits >> 12) * 0x1p-53);
    const float narrow = static_cast<float>(wide);
    unsigned char* to = bytes.data() + i * dtype_size(dtype);
    if (dtype == DType::f16) std::memcpy(to, &half, 2);
    if (dtype == DType::bf16) std::memcpy(to, &brain, 2);
    if (dtype == DType::f32) std::memcpy(to, &narrow, 4);
    if (dtype == DType::f64) std::memcpy(to, &wide, 8);
  }
  return bytes;
}

// Every float type of parameter and gradient, every type of state, every rounding.
void storage(const Emit& emit) {
  constexpr DType kFloats[] = {DType::f32, DType::f64, DType::f16, DType::bf16};
  constexpr std::pair<Rounding, const char*> kRoundings[] = {{Rounding::nearest, "nearest"},
                                                             {Rounding::stochastic, "stochastic"},
                                                             {Rounding::kahan, "kahan"},
                                                             {Rounding::master, "master"}};
  const std::int64_t size = 20001;
  for (const std::string rule : {"adamw", "lion", "lamb", "rmsprop_centered_momentum"}) {
    for (const DType state : {DType::f32, DType::bf16, DType::i8}) {
      Digest digest;
      for (const DType dtype : kFloats) {
        for (const auto& [rounding, name] : kRoundings) {
          if (rounding != Rounding::nearest && dtype_size(dtype) != 2) continue;
          for (const DType grad_dtype : kFloats) {
            Random random(5);
            auto param = numbers(random, dtype, size);
            ParamGroup group{rule, {{"lr", 0.01}}, {{param.data(), dtype, {size}}}, state, rounding};
            Optimizer optimizer({group}, 7);
            for (int step = 0; step < 2; ++step) {
              const auto grad = numbers(random, grad_dtype, size);
              const std::vector<ConstTensorView> grads = {{grad.data(), grad_dtype, {size}}};
              digest.add(optimizer.step(grads, {.grad_scale = 3, .max_value = 0.3}).grad_norm);
            }
            digest.add(param);
            for (const auto& [tensor, view] : optimizer.state(0)) digest.add(view);
          }
        }
      }
      emit("storage/" + rule + " states " + dtype_name(state), digest);
    }
  }
}

void accumulation(const Emit& emit) {
  for (const auto& [name, dtype] :
       {std::pair{"accumulate", DType::f32}, {"accumulate bfloat16", DType::bf16}, {"accumulate int8", DType::i8}}) {
    Random random(2);
    Arrays params = arrays(random, 1);
    std::vector<Shape> shapes;
    for (const auto& param : params) shapes.push_back({static_cast<std::int64_t>(param.size())});
    GradAccumulator accumulator(shapes, dtype);
    Optimizer optimizer({{"sgd", {{"lr", 0.3}}, views<TensorView>(params)}});
    for (const double weight : {32.0, 7.0, 0.125}) {
      Arrays grads = arrays(random, 0.1f);
      accumulator.add(views<ConstTensorView>(grads), weight);
    }
    Digest mean, step;
    for (const Tensor& tensor : accumulator.mean()) mean.add(tensor.view());
    emit(std::string(name) + "/mean", mean);
    step.add(optimizer.step(accumulator, {.max_norm = 0.3}).grad_norm);
    for (const auto& param : params) step.add(param);
    emit(std::string(name) + "/step", step);
  }
}

void quantization(const Emit& emit) {
  Random random(3);
  Digest values, products, layer;
  for (const auto [rows, outputs, depth] :
       {std::array{1, 1, 1}, {3, 5, 17}, {8, 70, 64}, {65, 33, 300}, {2, 9, 5000}}) {
    std::vector<float> w = random.floats(static_cast<std::size_t>(outputs) * depth, 2);
    std::vector<float> x = random.floats(static_cast<std::size_t>(rows) * depth, 3), bias = random.floats(outputs, 1);
    const QuantLinear linear(quantize({w.data(), DType::f32, {outputs, depth}}));
    const QuantTensor& q = linear.weight();
    values.add(q.values.view());
    values.add(q.scale.view());
    const QuantTensor activations = quantize({x.data(), DType::f32, {rows, depth}});
    products.add(std::as_const(activations).values.view());
    const Tensor sums = matmul_int(std::as_const(activations).values.view(), q.values.view());
    products.add(sums.view());
    Tensor y(DType::f32, {rows, outputs});
    linear.forward({x.data(), DType::f32, {rows, depth}}, y.view(), {.bias = {bias.data(), DType::f32, {outputs}}});
    layer.add(std::as_const(y).view());
  }
  emit("quant/values", values);
  emit("quant/products", products);
  emit("quant/linear", layer);
}

// Every format, from every type.
void quantized_formats(const Emit& emit) {
  constexpr std::pair<Scheme, const char*> kSchemes[] = {{Scheme::symmetric, "symmetric"},
                                                         {Scheme::asymmetric, "asymmetric"}};
  constexpr std::pair<Granularity, const char*> kGranularities[] = {
      {Granularity::tensor, "tensor"}, {Granularity::channel, "channel"}, {Granularity::group, "group"}};
  const Shape shape = {64, 9, 128};
  for (const int bits : {8, 4}) {
    for (const auto& [scheme, scheme_name] : kSchemes) {
      for (const auto& [granularity, granularity_name] : kGranularities) {
        Digest digest;
        for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
          Random random(8);
          const auto w = numbers(random, dtype, static_cast<std::size_t>(element_count(shape)));
          for (const int axis : {0, 1, 2}) {
            const std::int64_t group_size = granularity == Granularity::group ? 32 : 0;
            const QuantTensor q = quantize({w.data(), dtype, shape}, {bits, scheme, granularity, axis, group_size});
            digest.add(q.values.view());
            digest.add(q.scale.view());
            if (!q.zero_point.empty()) digest.add(q.zero_point.view());
            const Tensor back = dequantize(q, dtype);
            digest.add(back.view());
          }
        }
        emit("quant/int" + std::to_string(bits) + " " + scheme_name + " " + granularity_name, digest);
      }
    }
  }
}

// By itself and within a step, over runs, columns, groups and more than one chunk.
void fake_quantization(const Emit& emit) {
  const std::pair<const char*, QuantSpec> kSpecs[] = {
      {"tensor", {.bits = 4, .granularity = Granularity::tensor}},
      {"channel", {}},
      {"columns", {.bits = 4, .axis = 2}},
      {"group", {.bits = 4, .granularity = Granularity::group, .group_size = 64}},
      {"group in columns", {.granularity = Granularity::group, .axis = 2, .group_size = 32}}};
  const Shape shape = {64, 9, 128};
  const auto size = static_cast<std::size_t>(element_count(shape));
  for (const auto& [name, spec] : kSpecs) {
    Random random(9);
    std::vector<float> w = random.floats(size, 3);
    const TensorView param{w.data(), DType::f32, shape};
    Tensor scale = lsq_scale(param, spec), scale_gradient(DType::f32, scale.shape()), out(DType::f32, shape);
    Digest digest;
    digest.add(std::as_const(scale).view());
    const std::vector<float> gradient = random.floats(size, 1);
    fake_quantize(param, scale.view(), {}, spec, out.view());
    digest.add(std::as_const(out).view());
    fake_quantize_backward(param, scale.view(), {}, spec, {gradient.data(), DType::f32, shape}, out.view(),
                           scale_gradient.view(), lsq_factor(spec, shape));
    digest.add(std::as_const(out).view());
    digest.add(std::as_const(scale_gradient).view());
    Tensor integers(DType::i8, shape);
    Optimizer optimizer({{"adamw", {{"lr", 0.01}}, {param, scale.view()}}});
    optimizer.attach_fake_quantize(0, {spec, scale.view(), scale_gradient.view(), integers.view()});
    for (int step = 0; step < 2; ++step) {
      const std::vector<float> grad = random.floats(size, 1);
      optimizer.step(std::array<ConstTensorView, 2>{ConstTensorView{grad.data(), DType::f32, shape},
                                                    std::as_const(scale_gradient).view()});
      digest.add(std::as_const(integers).view());
    }
    digest.add(w);
    digest.add(std::as_const(scale).view());
    emit(std::string("qat/") + name, digest);
  }
}

QuantTensor quantized(Random& random, std::int64_t rows, std::int64_t columns, const QuantSpec& spec) {
  const std::vector<float> w = random.floats(static_cast<std::size_t>(rows * columns), 1);
  return quantize({w.data(), DType::f32, {rows, columns}}, spec);
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

void embedding_rows(const Emit& emit) {
  Digest digest;
  Random random(10);
  const std::int32_t ids[] = {4, 0, 4, 8};
  for (const int bits : {8, 4}) {
    const QuantTensor table = quantized(random, 9, 67, {.bits = bits});
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      Tensor rows(dtype, {4, 67});
      embedding(table, {ids, DType::i32, {4}}, rows.view());
      digest.add(std::as_const(rows).view());
    }
  }
  emit("quant/embedding", digest);
}

// What a layer does beside products.
void layers(const Emit& emit) {
  Random random(4);
  Digest digest;
  Tensor x(DType::f32, {37, 100});
  const std::vector<float> values = random.floats(3700, 20);
  std::copy(values.begin(), values.end(), x.as<float>());
  Sequential relu({std::make_shared<ReLU>()});
  const Tensor y = relu.forward(std::move(x), true);
  digest.add(y.view());
  std::vector<std::int64_t> labels;
  for (int row = 0; row < 37; ++row) labels.push_back(row * 7 % 100);
  Loss loss = cross_entropy(y.view(), labels);
  digest.add(std::as_const(loss.gradient).view());
  const Tensor gradient = relu.backward(std::move(loss.gradient), true);
  digest.add(gradient.view());
  emit("nn/relu and softmax", digest);
}

void initial_values(const Emit& emit) {
  Digest digest;
  for (const Init init : {Init::he_uniform, Init::he_normal, Init::xavier_uniform, Init::xavier_normal}) {
    Tensor weight(DType::f32, {50, 70});
    init_weight(weight.view(), init, 12345);
    digest.add(std::as_const(weight).view());
  }
  emit("nn/initial values", digest);
}

void calibration(const Emit& emit) {
  Random random(7);
  Digest counts, ranges;
  Histogram seen;
  MovingAverage average(0.01, 1);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const float scale : {0.1f, 1.0f, 7.0f}) {
      const auto bytes = numbers(random, dtype, 40'000);
      const std::vector<float> wide = random.floats(30'001, scale);
      seen.observe({bytes.data(), dtype, {40'000}});
      seen.observe({wide.data(), DType::f32, {30'001}});
      average.observe({bytes.data(), dtype, {50, 400, 2}});
      average.observe({wide.data() + 1, DType::f32, {75, 400}});
    }
  }
  std::vector<std::int32_t> bins;
  std::vector<std::int64_t> held;
  seen.parts(bins, held);
  counts.add(bins);
  counts.add(held);
  emit("calibrate/histogram", counts);
  const auto add = [&](Range range) {
    ranges.add(range.low);
    ranges.add(range.high);
  };
  add(seen.extremes());
  for (const Range& range : average.ranges()) add(range);
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    add(percentile_range(seen, 99.9, scheme));
    for (const int bits : {8, 4}) {
      add(entropy_range(seen, bits, scheme));
      add(mse_range(seen, bits, scheme));
    }
  }
  emit("calibrate/ranges", ranges);
}

// Everything that is made of float64 products and a Cholesky factor.
void rounding(const Emit& emit) {
  constexpr std::int64_t kOutputs = 37, kInputs = 320, kRows = 700;
  Random random(9);
  std::vector<float> x = random.floats(kRows * kInputs), w = random.floats(kOutputs * kInputs);
  for (std::size_t i = 1; i < x.size(); ++i) x[i] += 0.7f * x[i - 1];  // neighbours that have to do with each other
  const ConstTensorView weight{w.data(), DType::f32, {kOutputs, kInputs}};
  HessianObserver observer(kInputs);
  observer.observe({x.data(), DType::f32, {kRows, kInputs}});
  Digest hessian;
  const Tensor sums = observer.hessian(), means = observer.mean(), outputs = mean_output(weight, observer);
  hessian.add(sums.view());
  hessian.add(means.view());
  hessian.add(outputs.view());
  hessian.add(output_square(weight, observer));
  emit("quant/hessian", hessian);
  const auto add = [](Digest& digest, const Rounded& result) {
    digest.add(result.q.values.view());
    digest.add(result.q.scale.view());
    if (!result.q.zero_point.empty()) digest.add(result.q.zero_point.view());
    digest.add(result.before);
    digest.add(result.after);
  };
  Digest gptqs, descents;
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    for (const bool act_order : {false, true}) {
      const QuantSpec spec{4, scheme, Granularity::group, 0, 64};
      add(gptqs, gptq(weight, observer, spec, {.act_order = act_order}));
      add(gptqs, gptq(weight, observer, {8, scheme}, {.act_order = act_order}));
    }
    add(descents, round_coordinate_descent(weight, quantize(weight, {4, scheme}), observer));
  }
  emit("quant/gptq", gptqs);
  emit("quant/coordinate descent", descents);
}

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
    Digest digest;
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
      options = {.clip = Clip{-3, 3}, .output = QuantParams{0.02F, 5}, .residual_a = &a, .residual_b = &b};
      layer.forward(input, codes.view(), options);
      digest.add(std::as_const(codes).view());
      options = {.input = QuantParams{0.01F, spec == QuantSpec{} ? -7 : 0}};
      layer.forward(input, y.view(), options);
      digest.add(std::as_const(y).view());
      low_rank(input, a, b, y.view());
      digest.add(std::as_const(y).view());
    }
    emit(std::string("quant/linear ") + name, digest);
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
    add(DType::i8, {.activation = Activation::relu, .input = QuantParams{0.03F, 11}, .output = QuantParams{0.2F, -90}});
    emit(c.name, digest);
  }
}

using Operator = void (*)(const Emit& emit);
constexpr Operator kOperators[] = {update_rules, adafactor,        storage,      accumulation,      quantization,
                                   layers,       initial_values,   convolutions, quantized_formats, calibration,
                                   rounding,     quantized_layers, recurrent,    embedding_rows,    fake_quantization};

std::vector<std::string> all_lines() {
  std::vector<std::string> lines;
  for (const Operator run : kOperators) {
    run([&](const std::string& name, const Digest& digest) {
      char hash[17];
      std::snprintf(hash, sizeof hash, "%016" PRIx64, digest.value());
      lines.push_back(name + " " + hash);
    });
  }
  return lines;
}

int compare(const std::vector<std::string>& lines, const char* path) {
  std::ifstream file(path);
  std::vector<std::string> expected;
  for (std::string line; std::getline(file, line);) expected.push_back(line);
  int differences = 0;
  for (std::size_t i = 0; i < std::max(lines.size(), expected.size()); ++i) {
    const std::string got = i < lines.size() ? lines[i] : "nothing",
                      want = i < expected.size() ? expected[i] : "nothing";
    if (got == want) continue;
    std::printf("expected %s, got %s\n", want.c_str(), got.c_str());
    ++differences;
  }
  std::printf("digest %s: %zu results, %d differ from %s\n", cpu_info().isa.c_str(), lines.size(), differences, path);
  return differences == 0 && !lines.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  set_num_threads(2);
  const std::vector<std::string> lines = all_lines();
  if (argc > 1) return compare(lines, argv[1]);
  for (const std::string& line : lines) std::puts(line.c_str());
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
