#include "petrain/frozen_weight.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "checks.hpp"
#include "dequantize.hpp"
#include "gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

// Rows that are read at a time, so that sums over them have the order of a whole product.
constexpr std::int64_t kRows = kGemmDepth;
constexpr std::int64_t kStep = Dequantizer::kMostElements;

std::int64_t rows_of(const ConstTensorView& array, std::int64_t features, const std::string& what) {
  require(array, DType::f32, array.shape, what);
  if (array.shape.empty() || array.shape.back() != features) {
    throw std::invalid_argument(what + ": expected shape (…, " + std::to_string(features) + "), got " +
                                shape_text(array.shape));
  }
  return array.size() / features;
}

void require_base(const Shape& shape) {
  if (shape.size() != 2 || element_count(shape) == 0) {
    throw std::invalid_argument("base: expected a matrix (out, in) that is not empty, got shape " + shape_text(shape));
  }
}

// body(first, size) for stretches of at most kStep elements that make up begin … end.
template <class Body>
void in_steps(std::int64_t begin, std::int64_t end, Body&& body) {
  const std::int64_t steps = (end - begin + kStep - 1) / kStep;
  parallel(threads_for(std::max<std::int64_t>(1, steps / 8)), [&](const Team& team) {
    const ChunkRange mine = team.share(steps);
    for (std::int64_t step = mine.begin; step < mine.end; ++step) {
      const std::int64_t first = begin + step * kStep;
      body(first, std::min(kStep, end - first));
    }
  });
}

// Elements of a weight as float32.
class Reader {
 public:
  Reader(const ConstTensorView& values, const QuantTensor* quantized) : values_(values) {
    if (quantized != nullptr) dequantizer_.emplace(*quantized);
  }

  void operator()(std::int64_t begin, std::int64_t end, Tensor& buffer) const {
    const TensorView to = buffer.view();
    in_steps(begin, end, [&](std::int64_t first, std::int64_t size) {
      if (dequantizer_) {
        dequantizer_->run(first, size, to, first - begin);
      } else {
        active_kernels().quant_format->load(values_.data, storage_of(values_.dtype), first,
                                            to.as<float>() + (first - begin), size);
      }
    });
  }

 private:
  const ConstTensorView& values_;
  std::optional<Dequantizer> dequantizer_;
};

}  // namespace

FrozenWeight::FrozenWeight(const ConstTensorView& values) : values_(values), shape_(values.shape) {
  if (values.dtype != DType::f32 && values.dtype != DType::f16 && values.dtype != DType::bf16) {
    throw std::invalid_argument("base: expected dtype float32, float16 or bfloat16, got " +
                                std::string(dtype_name(values.dtype)));
  }
  require_base(shape_);
}

FrozenWeight::FrozenWeight(const QuantTensor& values) : quantized_(&values), shape_(values.shape) {
  values.validate();
  require_base(shape_);
}

void FrozenWeight::check(const LowRankUpdate& update) const {
  const auto& a = update.a;
  if (a.shape.size() != 2 || a.shape[0] != out_features() || a.shape[1] < 1) {
    throw std::invalid_argument("a: expected shape (" + std::to_string(out_features()) + ", rank), got " +
                                shape_text(a.shape));
  }
  require(a, DType::f32, a.shape, "a");
  require(update.b, DType::f32, {a.shape[1], in_features()}, "b");
}

// body(first, count, rows) for each run of rows of W as float32.
template <class Body>
void FrozenWeight::for_each_block(Body&& body) const {
  const std::int64_t in = in_features();
  const bool in_place = quantized_ == nullptr && values_.dtype == DType::f32;
  Tensor buffer;
  if (!in_place) buffer = Tensor::uninitialized(DType::f32, {std::min(kRows, out_features()), in});
  const Reader read(values_, quantized_);
  for (std::int64_t first = 0; first < out_features(); first += kRows) {
    const std::int64_t count = std::min(kRows, out_features() - first);
    if (!in_place) read(first * in, (first + count) * in, buffer);
    body(first, count, in_place ? values_.as<float>() + first * in : std::as_const(buffer).as<float>());
  }
}

// The same of W + update, in memory that the body may change.
template <class Body>
void FrozenWeight::for_each_block(const LowRankUpdate& update, Body&& body) const {
  const std::int64_t in = in_features(), rank = update.a.shape[1], most = std::min(kRows, out_features());
  Tensor buffer = Tensor::uninitialized(DType::f32, {most, in});
  Tensor scaled = Tensor::uninitialized(DType::f32, {most, rank});
  const Reader read(values_, quantized_);
  for (std::int64_t first = 0; first < out_features(); first += kRows) {
    const std::int64_t count = std::min(kRows, out_features() - first);
    read(first * in, (first + count) * in, buffer);
    std::copy_n(update.a.as<float>() + first * rank, count * rank, scaled.as<float>());
    active_kernels().nn->scale(scaled.as<float>(), update.scale, count * rank);
    gemm({scaled.as<float>(), count, rank}, {update.b.as<float>(), rank, in}, buffer.as<float>(), in, true);
    body(first, count, buffer.as<float>());
  }
}

void FrozenWeight::forward(const ConstTensorView& x, const TensorView& y) const {
  const std::int64_t rows = rows_of(x, in_features(), "x"), in = in_features(), out = out_features();
  if (rows_of(y, out, "y") != rows) {
    throw std::invalid_argument("y: expected as many rows as x, got " + shape_text(y.shape));
  }
  for_each_block([&](std::int64_t first, std::int64_t count, const float* block) {
    gemm({x.as<float>(), rows, in}, ConstMatrix(block, count, in).transposed(), y.as<float>() + first, out);
  });
}

void FrozenWeight::backward(const ConstTensorView& dy, const TensorView& dx) const {
  const std::int64_t rows = rows_of(dy, out_features(), "gradient"), in = in_features(), out = out_features();
  if (rows_of(dx, in, "dx") != rows) {
    throw std::invalid_argument("dx: expected as many rows as the gradient, got " + shape_text(dx.shape));
  }
  for_each_block([&](std::int64_t first, std::int64_t count, const float* block) {
    gemm({dy.as<float>() + first, rows, count, out, 1}, {block, count, in}, dx.as<float>(), in, first > 0);
  });
}

Tensor FrozenWeight::row_norms(const LowRankUpdate& update) const {
  check(update);
  Tensor norms = Tensor::uninitialized(DType::f32, {out_features()});
  const std::int64_t in = in_features();
  for_each_block(update, [&](std::int64_t first, std::int64_t count, const float* block) {
    const std::int64_t rows = std::max<std::int64_t>(1, 8 * kStep / in), chunks = (count + rows - 1) / rows;
    parallel_for(chunks, [&](std::int64_t chunk) {
      for (std::int64_t i = chunk * rows; i < std::min(count, (chunk + 1) * rows); ++i) {
        const double square = active_kernels().reduce->sum_of_squares(block, kernels::Storage::f32, i * in, in);
        norms.as<float>()[first + i] = static_cast<float>(std::sqrt(square));
      }
    });
  });
  return norms;
}

Tensor FrozenWeight::merged(const LowRankUpdate& update, const ConstTensorView& factors, DType dtype) const {
  check(update);
  if (factors.data != nullptr) require(factors, DType::f32, {out_features()}, "factors");
  require_quantizable({nullptr, dtype, {}}, "result");
  Tensor result = Tensor::uninitialized(dtype, shape_);
  const std::int64_t in = in_features();
  for_each_block(update, [&](std::int64_t first, std::int64_t count, float* block) {
    if (factors.data != nullptr) {
      for (std::int64_t i = 0; i < count; ++i) {
        active_kernels().nn->scale(block + i * in, factors.as<float>()[first + i], in);
      }
    }
    in_steps(first * in, (first + count) * in, [&](std::int64_t begin, std::int64_t size) {
      const float* from = block + (begin - first * in);
      if (dtype == DType::f32) {
        std::copy_n(from, size, result.as<float>() + begin);
      } else {
        active_kernels().quant_format->store16(from, storage_of(dtype), result.as<std::uint16_t>() + begin, size);
      }
    });
  });
  return result;
}

}  // namespace petrain
