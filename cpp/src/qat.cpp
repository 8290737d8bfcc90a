#include "petrain/qat.hpp"

#include <atomic>
#include <cmath>
#include <initializer_list>

#include "checks.hpp"
#include "isa.hpp"
#include "kernels/fake_quant.hpp"
#include "qat.hpp"
#include "quant_checks.hpp"
#include "quant_spec.hpp"
#include "scale_sums.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

void require_format(const ConstTensorView& scale, const ConstTensorView& zero_point, const QuantSpec& spec,
                    const Shape& shape) {
  const Shape expected = scale_shape(spec, shape);
  require(scale, DType::f32, expected, "scale");
  const float largest = largest_scale(spec);
  for (std::int64_t i = 0, size = scale.size(); i < size; ++i) {
    if (const float s = scale.as<float>()[i]; !(s >= FLT_MIN && s <= largest)) {
      throw std::invalid_argument("scale: expected " + number_text(FLT_MIN) + " to " + number_text(largest) + ", got " +
                                  number_text(s) + " at element " + std::to_string(i));
    }
  }
  if (zero_point.data == nullptr) {
    if (spec.scheme == Scheme::asymmetric)
      throw std::invalid_argument("zero_point: expected one for each scale, got none");
    return;
  }
  if (spec.scheme == Scheme::symmetric) {
    throw std::invalid_argument("zero_point: expected none, as the scheme is symmetric");
  }
  require(zero_point, DType::i8, expected, "zero_point");
  const kernels::Limits limits = limits_of(spec);
  for (std::int64_t i = 0, size = zero_point.size(); i < size; ++i) {
    if (const int z = zero_point.as<std::int8_t>()[i]; z < limits.least || z > limits.most) {
      throw std::invalid_argument("zero_point: expected " + std::to_string(limits.least) + " to " +
                                  std::to_string(limits.most) + ", got " + std::to_string(z) + " at element " +
                                  std::to_string(i));
    }
  }
}

// Kernels write an element after they have read it.
void require_same_or_apart(const ConstTensorView& written, const ConstTensorView& read, const std::string& what) {
  if (written.data != read.data && share_memory(written, read)) {
    throw std::invalid_argument(what + ": expected the same memory or memory apart, got some that overlaps");
  }
}

void require_apart(const ConstTensorView& written, std::initializer_list<ConstTensorView> others,
                   const std::string& what) {
  for (const ConstTensorView& other : others) {
    if (share_memory(written, other)) {
      throw std::invalid_argument(what + ": expected memory of its own, got some of another argument");
    }
  }
}

template <class Body>
void for_chunks(std::int64_t size, const Team& team, Body&& body) {
  const ChunkRange mine = team.share((size + kChunk - 1) / kChunk);
  for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
    body(chunk * kChunk, std::min(kChunk, size - chunk * kChunk));
  }
}

}  // namespace

float largest_scale(const QuantSpec& spec) {
  const kernels::Limits limits = limits_of(spec);
  return bounded_scale(HUGE_VAL, spec.scheme == Scheme::symmetric ? limits.most : limits.most - limits.least);
}

kernels::FakeQuantFormat fake_quant_format(const QuantSpec& spec, const Shape& shape, const float* scale,
                                           const std::int8_t* zero_point) {
  const kernels::Limits limits = limits_of(spec);
  return {scale_layout(spec, shape), scale, zero_point, limits.least, limits.most};
}

void fake_quantize(const ConstTensorView& x, const ConstTensorView& scale, const ConstTensorView& zero_point,
                   const QuantSpec& given, const TensorView& out) {
  require_dtype(x, DType::f32, "x");
  const QuantSpec spec = checked_spec(given, x.shape, "x");
  require_format(scale, zero_point, spec, x.shape);
  if (out.dtype != DType::f32 && out.dtype != DType::i8) {
    throw std::invalid_argument(std::string("out: expected dtype float32 or int8, got ") + dtype_name(out.dtype));
  }
  require(out, out.dtype, x.shape, "out");
  require_same_or_apart(out, x, "out and x");
  require_apart(out, {scale, zero_point}, "out");
  if (out.data == x.data && out.dtype != DType::f32) throw std::invalid_argument("out: int8 cannot be x itself");
  const kernels::KernelTable& kernels = active_kernels();
  const std::int64_t size = x.size();
  kernels::FakeQuantArgs args{fake_quant_format(spec, x.shape, scale.as<float>(), zero_point.as<std::int8_t>()),
                              x.as<float>(),
                              out.data,
                              out.dtype == DType::i8,
                              0,
                              0};
  std::atomic<bool> finite{true};
  in_step(threads_for(size / kElementsPerThread), [&](const SteppingTeam& team) {
    for_chunks(size, team, [&](std::int64_t begin, std::int64_t count) {
      if (!std::isfinite(kernels.quant->max_abs_run(args.x + begin, count))) finite = false;
    });
    team.barrier();
    if (!finite) return;
    kernels::FakeQuantArgs own = args;
    for_chunks(size, team, [&](std::int64_t begin, std::int64_t count) {
      own.begin = begin;
      own.size = count;
      kernels.fake_quant->forward(own);
    });
  });
  if (!finite) require_finite(x, "x");
}

void fake_quantize_backward(const ConstTensorView& x, const ConstTensorView& scale, const ConstTensorView& zero_point,
                            const QuantSpec& given, const ConstTensorView& gradient, const TensorView& x_gradient,
                            const TensorView& scale_gradient, double factor) {
  require_dtype(x, DType::f32, "x");
  const QuantSpec spec = checked_spec(given, x.shape, "x");
  require_format(scale, zero_point, spec, x.shape);
  require(gradient, DType::f32, x.shape, "gradient");
  require(x_gradient, DType::f32, x.shape, "x_gradient");
  require(scale_gradient, DType::f32, scale.shape, "scale_gradient");
  require_same_or_apart(x_gradient, gradient, "x_gradient and gradient");
  require_same_or_apart(x_gradient, x, "x_gradient and x");
  require_apart(x_gradient, {scale, zero_point}, "x_gradient");
  require_apart(scale_gradient, {x, scale, zero_point, gradient, x_gradient}, "scale_gradient");
  const auto& kernels = *active_kernels().fake_quant;
  const auto format = fake_quant_format(spec, x.shape, scale.as<float>(), zero_point.as<std::int8_t>());
  ScaleSums sums(format.layout, x.size());
  auto* scale_gradients = scale_gradient.as<float>();
  in_step(threads_for(x.size() / kElementsPerThread), [&](const SteppingTeam& team) {
    const ChunkRange mine = team.share(sums.chunks());
    for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      kernels.backward({format, x.as<float>(), gradient.as<float>(), x_gradient.as<float>(), sums.clear_slots(chunk),
                        sums.begin(chunk), sums.size(chunk)});
    }
    team.barrier();
    sums.finish(team, [&](std::int64_t i, double sum) { scale_gradients[i] = static_cast<float>(sum * factor); });
  });
}

Tensor lsq_scale(const ConstTensorView& x, const QuantSpec& given) {
  require_dtype(x, DType::f32, "x");
  const QuantSpec spec = checked_spec(given, x.shape, "x");
  require_finite(x, "x");
  const kernels::ScaleLayout layout = scale_layout(spec, x.shape);
  Tensor scale(DType::f32, scale_shape(spec, x.shape));
  const double count = static_cast<double>(x.size()) / static_cast<double>(scale.size());
  const double factor = 2 / (count * std::sqrt(limits_of(spec).most));
  const float largest = largest_scale(spec);
  ScaleSums sums(layout, x.size());
  in_step(threads_for(x.size() / kElementsPerThread), [&](const SteppingTeam& team) {
    const ChunkRange mine = team.share(sums.chunks());
    for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      active_kernels().fake_quant->sum_magnitudes(x.as<float>(), layout, sums.clear_slots(chunk), sums.begin(chunk),
                                                  sums.size(chunk));
    }
    team.barrier();
    sums.finish(team, [&](std::int64_t i, double sum) {
      scale.as<float>()[i] = sum == 0 ? 1.0F : clamped_scale(static_cast<float>(sum * factor), largest);
    });
  });
  return scale;
}

double lsq_factor(const QuantSpec& given, const Shape& shape) {
  const QuantSpec spec = checked_spec(given, shape, "x");
  const auto count = element_count(shape) / element_count(scale_shape(spec, shape));
  return 1 / std::sqrt(static_cast<double>(count) * limits_of(spec).most);
}

void bound_scales(const TensorView& scale, const QuantSpec& spec) {
  require_dtype(scale, DType::f32, "scale");
  require_bits(spec.bits);
  const float largest = largest_scale(spec);
  auto* scales = scale.as<float>();
  for (std::int64_t i = 0, size = scale.size(); i < size; ++i) scales[i] = clamped_scale(scales[i], largest);
}

}  // namespace petrain
