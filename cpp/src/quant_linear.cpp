#include "petrain/quant_linear.hpp"

#include <utility>

#include "checks.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_product.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"

namespace petrain {

std::int64_t max_depth(bool input_zero_points, bool weight_zero_points) {
  constexpr std::int64_t kSymmetric = 128, kAsymmetric = 255;  // the largest difference from the zero point
  return ((std::int64_t{1} << 31) - 1) /
         ((input_zero_points ? kAsymmetric : kSymmetric) * (weight_zero_points ? kAsymmetric : kSymmetric));
}

void require_depth(std::int64_t depth, bool input_zero_points, bool weight_zero_points, const std::string& what) {
  const std::int64_t most = max_depth(input_zero_points, weight_zero_points);
  if (depth <= most) return;
  throw std::invalid_argument(
      what + ": expected sums of at most " + std::to_string(most) + " products, which int32 holds exactly" +
      (input_zero_points || weight_zero_points ? " with these zero points" : "") + ", got " + std::to_string(depth));
}

QuantLinear::QuantLinear(std::shared_ptr<const QuantTensor> weight) : weight_(std::move(weight)) {
  if (weight_ == nullptr) throw std::invalid_argument("w: expected a weight, got none");
  const QuantTensor& w = *weight_;
  w.validate();
  if (w.shape.size() != 2 || w.spec.axis != 0) {
    throw std::invalid_argument("w: expected two dimensions (out, in) quantized along axis 0, got shape " +
                                shape_text(w.shape) + ", " + spec_text(w.spec));
  }
  require_depth(w.shape[1], false, !w.zero_point.empty(), "w");
  packed_ = std::make_unique<QuantProduct>(w);
}

QuantLinear::QuantLinear(QuantTensor weight) : QuantLinear(std::make_shared<const QuantTensor>(std::move(weight))) {}

QuantLinear::~QuantLinear() = default;
QuantLinear::QuantLinear(QuantLinear&&) noexcept = default;
QuantLinear& QuantLinear::operator=(QuantLinear&&) noexcept = default;

namespace {

void require_pair(const QuantLinear& a, const QuantLinear& b, std::int64_t n, std::int64_t k) {
  if (a.in_features() == b.out_features() && a.out_features() == n && b.in_features() == k) return;
  throw std::invalid_argument("expected a (" + std::to_string(n) + ", rank) and b (rank, " + std::to_string(k) +
                              "), got " + shape_text(a.weight().shape) + " and " + shape_text(b.weight().shape));
}

}  // namespace

void QuantLinear::require_input(const std::optional<QuantParams>& input) const {
  if (!input || input->zero_point == 0) return;
  if (in_groups(*weight_)) {
    throw std::invalid_argument("x: expected a zero point of 0 with weights in " + spec_text(weight_->spec) + ", got " +
                                std::to_string(input->zero_point));
  }
  require_depth(in_features(), true, !weight_->zero_point.empty(), "x");
}

namespace {

QuantRows rows_of(const ConstTensorView& x, std::int64_t k, const LinearOptions& options) {
  if (!options.weight_only) return quantize_rows(x, k, options.input, "x");
  if (options.input)
    throw std::invalid_argument("x_params: expected none with weight_only, got a scale of " +
                                number_text(options.input->scale));
  return split_rows(x, k, "x");
}

QuantRows rows_between(const Tensor& inner, const LinearOptions& options, const std::string& what) {
  const std::int64_t k = inner.shape()[1];
  return options.weight_only ? split_rows(inner.view(), k, what) : quantize_rows(inner.view(), k, {}, what);
}

}  // namespace

Shape QuantLinear::output_shape(const Shape& x) const {
  require_rows({nullptr, DType::f32, x}, in_features(), "x");
  return x.size() == 1 ? Shape{out_features()} : Shape{x[0], out_features()};
}

namespace {

// The products of two weights with rows of their own, added.
class SumOfTwo final : public RowBlocks {
 public:
  SumOfTwo(std::unique_ptr<RowBlocks> first, std::unique_ptr<RowBlocks> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  void fill(std::int64_t first, std::int64_t count) override {
    first_->fill(first, count);
    second_->fill(first, count);
  }

  void multiply(const Block<float>& block) override {
    alignas(64) float sums[kBlockElements];
    first_->multiply(block);
    second_->multiply({sums, kBlockColumns, block.row, block.rows, block.column, block.columns});
    for (std::int64_t i = 0; i < block.rows; ++i)
      active_kernels().nn->add_bias(block.sums + i * block.stride, sums + i * kBlockColumns, block.columns);
  }

 private:
  std::unique_ptr<RowBlocks> first_, second_;
};

}  // namespace

void QuantLinear::finish(const QuantRows& rows, const Epilogue& epilogue, const LinearOptions& options) const {
  packed_->require_finite(rows);
  const QuantLinear *a = options.residual_a, *b = options.residual_b;
  QuantRows between;
  if (a != nullptr || b != nullptr) {
    if (a == nullptr || b == nullptr) throw std::invalid_argument("residual: expected both matrices or none, got one");
    require_pair(*a, *b, out_features(), in_features());
    b->require_input(options.input);
    between = rows_between(b->packed_->product(rows), options, "residual");
    a->packed_->require_finite(between);
  }
  const auto make = [&](std::int64_t most_rows) {
    std::unique_ptr<RowBlocks> blocks = packed_->blocks(rows, most_rows);
    if (a == nullptr) return blocks;
    return std::unique_ptr<RowBlocks>(
        std::make_unique<SumOfTwo>(std::move(blocks), a->packed_->blocks(between, most_rows)));
  };
  for_each_block<float>(packed_->grid(rows), make, [&](const Block<float>& block) { epilogue.finish(block); });
}

void QuantLinear::forward(const ConstTensorView& x, const TensorView& y, const LinearOptions& options) const {
  require_input(options.input);
  const Epilogue epilogue(x, y, output_shape(x.shape), out_features(), options);
  finish(rows_of(x, in_features(), options), epilogue, options);
}

void low_rank(const ConstTensorView& x, const QuantLinear& a, const QuantLinear& b, const TensorView& y,
              const LinearOptions& options) {
  require_pair(a, b, a.out_features(), b.in_features());
  if (options.residual_a != nullptr || options.residual_b != nullptr)
    throw std::invalid_argument("residual: expected none beside a low-rank pair, got one");
  b.require_input(options.input);
  const QuantRows rows = rows_of(x, b.in_features(), options);
  Shape shape = b.output_shape(x.shape);
  shape.back() = a.out_features();
  const Epilogue epilogue(x, y, shape, a.out_features(), options);
  const Tensor inner = b.packed_->product(rows);
  a.finish(rows_between(inner, options, "b(x)"), epilogue, options);
}

}  // namespace petrain
