#include "petrain/quant_conv.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "conv_depthwise.hpp"
#include "conv_image.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

// One dimension is two with a height of 1.
Shape with_height(Shape shape, std::size_t dimensions) {
  if (dimensions == 1) shape.insert(shape.end() - 1, 1);
  return shape;
}

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

// What kernels read.
struct QuantConv::Packed {
  Packed(const QuantTensor& w, std::int64_t groups) : shape(with_height(w.shape, w.shape.size() - 2)) {
    const std::int64_t outputs = shape[0], inputs = shape[1], taps = shape[2] * shape[3], depth = taps * inputs;
    scales = Tensor(DType::f32, {outputs});
    sums = Tensor(DType::i32, {outputs});
    values = Tensor::uninitialized(DType::i8, {outputs, taps, inputs});
    const auto* from = w.values.as<std::int8_t>();
    auto* to = values.as<std::int8_t>();
    for (std::int64_t o = 0; o < outputs; ++o, from += depth, to += depth) {
      scales.as<float>()[o] = w.scale.as<float>()[w.scale.size() == 1 ? 0 : o];
      sums.as<std::int32_t>()[o] = std::accumulate(from, from + depth, 0);
      for (std::int64_t c = 0; c < inputs; ++c) {
        for (std::int64_t t = 0; t < taps; ++t) to[t * inputs + c] = from[c * taps + t];
      }
    }
    largest_scale = *std::max_element(scales.as<float>(), scales.as<float>() + outputs);
    const std::int64_t rows = outputs / groups;
    for (std::int64_t g = 0; g < groups; ++g) {
      matrices.push_back(std::make_unique<IntMatrix>(values.as<std::int8_t>() + g * rows * depth, rows, depth));
    }
  }

  // The part of a sum that a zero point of the input adds.
  std::int32_t offset(std::int64_t output, std::int32_t zero_point) const {
    return zero_point * sums.as<std::int32_t>()[output];
  }

  // Every group as a product of windows and a matrix.
  void product(const std::int8_t* images, const ConvSizes& sizes, const ImageParams& params,
               const Epilogue& epilogue) const;
  void depthwise_product(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params,
                         const Epilogue& epilogue) const;

  Shape shape;  // of the weight, with a height
  float largest_scale;
  Tensor values, scales, sums;  // int8 (O, taps, C / groups), float32 (O,), int32 (O,)
  std::vector<std::unique_ptr<IntMatrix>> matrices;
};

void QuantConv::Packed::product(const std::int8_t* images, const ConvSizes& sizes, const ImageParams& params,
                                const Epilogue& epilogue) const {
  static_assert(kCopySlack <= kScratchSlack);
  const std::int64_t outputs = shape[0], inputs = shape[1], pixels = sizes.pixels();
  Tensor offsets(DType::i32, {params.zero_point == 0 ? 0 : outputs});
  for (std::int64_t o = 0; o < offsets.size(); ++o) offsets.as<std::int32_t>()[o] = offset(o, params.zero_point);
  for (std::size_t g = 0; g < matrices.size(); ++g) {
    const auto group = static_cast<std::int64_t>(g);
    const auto row = [&](std::int64_t pixel, std::int8_t* scratch) {
      return gather(images, sizes, params.zero_point, pixel, group * inputs, inputs, scratch);
    };
    int_product(sizes.count * pixels, row, *matrices[g], [&](const Block<std::int32_t>& block) {
      alignas(64) float values_of_block[kernels::kMostRows * kBlockColumns];
      const std::int64_t first = group * matrices[g]->n() + block.column;
      for (std::int64_t i = 0; i < block.rows;) {
        const std::int64_t image = (block.row + i) / pixels, pixel = (block.row + i) % pixels;
        const std::int64_t count = std::min(block.rows - i, pixels - pixel);
        active_kernels().conv->planes({block.sums + i * block.stride, block.stride,
                                       offsets.empty() ? nullptr : offsets.as<std::int32_t>() + first,
                                       scales.as<float>() + first,
                                       epilogue.bias() == nullptr ? nullptr : epilogue.bias() + first,
                                       params.scale(image), values_of_block, count, block.columns});
        epilogue.activate(values_of_block, count * block.columns);
        for (std::int64_t j = 0; j < block.columns; ++j) {
          epilogue.write(values_of_block + j * count, (image * outputs + first + j) * pixels + pixel, count);
        }
        i += count;
      }
    });
  }
}

void QuantConv::Packed::depthwise_product(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params,
                                          const Epilogue& epilogue) const {
  const std::int64_t outputs = shape[0], width = sizes.result[1];
  depthwise(x, sizes, params, values.as<std::int8_t>(), outputs, [&](const StripSums& strip) {
    const std::int64_t channel = strip.channel, size = strip.rows * strip.width;
    active_kernels().conv->plane_run(
        {strip.sums, offset(channel, params.zero_point), params.scale(strip.image) * scales.as<float>()[channel],
         epilogue.bias() == nullptr ? nullptr : epilogue.bias() + channel, strip.values, size});
    epilogue.activate(strip.values, size);
    const std::int64_t to = ((strip.image * outputs + channel) * sizes.result[0] + strip.row) * width;
    for (std::int64_t i = 0; i < strip.rows; ++i) epilogue.write(strip.values + i * strip.width, to + i * width, width);
  });
}

QuantConv::QuantConv(std::shared_ptr<const QuantTensor> weight, std::int64_t groups)
    : weight_(std::move(weight)), groups_(groups) {
  require_weight(*weight_, groups);
  const std::int64_t depth = weight_->values.size() / weight_->shape[0];
  if (const std::int64_t most = max_depth(false, false); depth > most) {
    throw std::invalid_argument("w: expected sums of at most " + std::to_string(most) +
                                " products, which int32 holds exactly, got " + std::to_string(depth));
  }
  packed_ = std::make_unique<Packed>(*weight_, groups);
}

QuantConv::QuantConv(QuantTensor weight, std::int64_t groups)
    : QuantConv(std::make_shared<const QuantTensor>(std::move(weight)), groups) {}

QuantConv::~QuantConv() = default;
QuantConv::QuantConv(QuantConv&&) noexcept = default;
QuantConv& QuantConv::operator=(QuantConv&&) noexcept = default;

std::size_t QuantConv::packed_nbytes() const {
  std::size_t total = packed_->values.nbytes();
  for (const auto& matrix : packed_->matrices) total += matrix->nbytes();
  return total;
}

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
    throw std::invalid_argument("residual: expected none with a convolution");
  if (options.input) require_params(*options.input, "x");
  if (!options.input || x.dtype != DType::i8) require_dtype(x, DType::f32, "x");
  const Shape result = output_shape(x.shape, window);
  require_elements(x, "x");
  const Epilogue epilogue(y, result, weight_->shape[0], options);
  const Packed& packed = *packed_;
  const std::int64_t depth = packed.values.size() / packed.shape[0];
  if (options.input && options.input->zero_point != 0) {
    if (const std::int64_t most = max_depth(true, false); depth > most) {
      throw std::invalid_argument("x: expected sums of at most " + std::to_string(most) +
                                  " products, which int32 holds exactly with this zero point, got " +
                                  std::to_string(depth));
    }
  }
  const std::size_t dimensions = weight_->shape.size() - 2;
  const Shape from = with_height(x.shape, dimensions), to = with_height(result, dimensions);
  const std::size_t rank = from.size();
  const ConvSizes sizes{rank == 4 ? from[0] : 1,          from[rank - 3],
                        {from[rank - 2], from[rank - 1]}, {packed.shape[2], packed.shape[3]},
                        {to[rank - 2], to[rank - 1]},     window};
  const ImageParams params = image_params(x, sizes.count, options.input);
  require_finite_scales(params.largest_scale(), packed.largest_scale, depth, options.output.has_value());
  if (groups_ > 1 && groups_ == sizes.channels && depthwise_fits(sizes)) {
    packed.depthwise_product(x, sizes, params, epilogue);
    return;
  }
  const Tensor images = channels_last(x, sizes, params);
  packed.product(images.as<std::int8_t>(), sizes, params, epilogue);
}

}  // namespace petrain
