#include <algorithm>
#include <array>
#include <utility>

#include "digest.hpp"
#include "petrain/optim.hpp"
#include "petrain/qat.hpp"
#include "petrain/quant_embedding.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain::digests {

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

}  // namespace petrain::digests
