#include "petrain/quant_conv.hpp"

#include <utility>

#include "checks.hpp"
#include "conv_depthwise.hpp"
#include "conv_weight.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

void require_weight(const QuantTensor& w, std::int64_t groups) {
  w.validate();
  const QuantSpec& spec = w.spec;
  if ((w.shape.size() != 3 && w.shape.size() != 4) || spec.bits != 8 || spec.granularity == Granularity::group ||
      spec.axis != 0 || spec.scheme != Scheme::symmetric) {
    throw std::invalid_argument(
        "w: expected (out, in, height, width) or (out, in, length), symmetric int8 per tensor or per channel along "
        "axis 0, got shape " +
        shape_text(w.shape) + ", " + spec_text(spec));
  }
  if (groups < 1 || w.shape[0] % groups != 0) {
    throw std::invalid_argument("groups: expected a divisor of the " + std::to_string(w.shape[0]) +
                                " channels of the result, got " + std::to_string(groups));
  }
}

void require_window(const ConvWindow& window) {
  constexpr std::int64_t kMost = INT32_MAX;
  const auto require_range = [](const std::array<std::int64_t, 2>& pair, std::int64_t least, const char* what) {
    for (const std::int64_t number : pair) {
      if (number >= least && number <= kMost) continue;
      throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(least) + " to " +
                                  std::to_string(kMost) + ", got " + std::to_string(number));
    }
  };
  require_range(window.stride, 1, "stride");
  require_range(window.padding, 0, "padding");
  require_range(window.dilation, 1, "dilation");
}

}  // namespace

QuantConv::QuantConv(std::shared_ptr<const QuantTensor> weight, std::int64_t groups)
    : weight_(std::move(weight)), groups_(groups) {
  if (weight_ == nullptr) throw std::invalid_argument("w: expected a weight, got none");
  require_weight(*weight_, groups);
  const std::int64_t depth = weight_->values.size() / weight_->shape[0];
  require_depth(depth, false, false, "w");
  packed_ = std::make_unique<ConvWeight>(*weight_, groups);
}

QuantConv::QuantConv(QuantTensor weight, std::int64_t groups)
    : QuantConv(std::make_shared<const QuantTensor>(std::move(weight)), groups) {}

QuantConv::~QuantConv() = default;
QuantConv::QuantConv(QuantConv&&) noexcept = default;
QuantConv& QuantConv::operator=(QuantConv&&) noexcept = default;

Shape QuantConv::output_shape(const Shape& x, const ConvWindow& window) const {
  const std::size_t dimensions = weight_->shape.size() - 2;
  require_window(window);
  if (dimensions == 1 && (window.stride[0] != 1 || window.padding[0] != 0 || window.dilation[0] != 1)) {
    throw std::invalid_argument("w: expected a height where stride, padding or dilation has one, got shape " +
                                shape_text(weight_->shape));
  }
  const std::int64_t channels = weight_->shape[1] * groups_;
  if ((x.size() != dimensions + 1 && x.size() != dimensions + 2) || x[x.size() - dimensions - 1] != channels) {
    throw std::invalid_argument("x: expected shape (N, " + std::to_string(channels) +
                                (dimensions == 1 ? ", L)" : ", H, W)") + " or the same without N, got " +
                                shape_text(x));
  }
  require_elements({nullptr, DType::f32, x}, "x");
  Shape y = x;
  y[x.size() - dimensions - 1] = weight_->shape[0];
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::size_t axis = x.size() - dimensions + i, side = 2 - dimensions + i;
    const std::int64_t reach = window.dilation[side] * (weight_->shape[2 + i] - 1) + 1;
    const std::int64_t padded = x[axis] + 2 * window.padding[side];
    if (padded < reach) {
      throw std::invalid_argument("x: expected at least " + std::to_string(reach) +
                                  " pixels with the padding, as the kernel spans, got " + std::to_string(padded));
    }
    y[axis] = (padded - reach) / window.stride[side] + 1;
  }
  return y;
}

void QuantConv::forward(const ConstTensorView& x, const TensorView& y, const ConvWindow& window,
                        const LinearOptions& options) const {
  if (options.residual_a != nullptr || options.residual_b != nullptr)
    throw std::invalid_argument("residual: expected none with a convolution, got one");
  if (options.weight_only) throw std::invalid_argument("weight_only: expected false with a convolution, got true");
  if (options.input) require_params(*options.input, "x");
  if (!options.input || x.dtype != DType::i8) require_dtype(x, DType::f32, "x");
  const Shape result = output_shape(x.shape, window);
  const Epilogue epilogue(x, y, result, weight_->shape[0], options);
  const ConvWeight& packed = *packed_;
  const std::int64_t depth = packed.depth();
  require_depth(depth, options.input && options.input->zero_point != 0, false, "x");
  const std::size_t dimensions = weight_->shape.size() - 2;
  const Shape from = with_height(x.shape, dimensions), to = with_height(result, dimensions);
  const std::size_t rank = from.size();
  const ConvSizes sizes{rank == 4 ? from[0] : 1,          from[rank - 3],
                        {from[rank - 2], from[rank - 1]}, {packed.shape()[2], packed.shape()[3]},
                        {to[rank - 2], to[rank - 1]},     window};
  const ImageParams params = image_params(x, sizes.count, options.input);
  require_finite_products(params.largest_scale(), packed.largest_scale(), depth, false);
  if (groups_ > 1 && groups_ == sizes.channels && depthwise_fits(sizes)) {
    packed.depthwise_product(x, sizes, params, epilogue);
    return;
  }
  const Tensor images = channels_last(x, sizes, params);
  packed.product(images, sizes, params, epilogue);
}

}  // namespace petrain
